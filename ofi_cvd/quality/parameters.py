"""The parameters that a dataset is judged by: its own, whatever the settings are today."""

from __future__ import annotations

from ofi_cvd.publish.parts import parameters_of
from ofi_cvd.settings import Settings
from ofi_cvd.settings.remarks import remarks


def dataset_settings(settings: Settings) -> Settings:
    """Return the settings with the parameters that the dataset was built with.

    A parameter that the dataset does not name has its default: it was introduced later, or left out for being so. A
    dataset of a version that wrote no parameters is taken to have those of the settings.

    Raises:
        InputError: the parts disagree.
        SettingError: they name parameters that this version does not take.
    """
    stored = parameters_of(settings.data_dir)
    return settings.with_parameters(stored) if stored else settings


def notes(settings: Settings, today: Settings) -> list[str]:
    """Return what a reader should know of the parameters: others than today's, or some that silence each other."""
    told = []
    own, now = settings.fingerprint(), today.fingerprint()
    if own != now:
        told.append(f"Judged by the dataset's own parameters ({own[:12]}); the settings now are others ({now[:12]}).")
    return told + remarks(settings)
