"""The effective settings: option before environment before file before default, each value with its origin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ofi_cvd.errors import SettingError
from ofi_cvd.settings import sources
from ofi_cvd.settings.accepts import setting_error
from ofi_cvd.settings.model import Settings


@dataclass(frozen=True)
class Effective:
    """Settings together with the layer each one came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    options: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    toml: Path = Path("ofi.toml"),
) -> Effective:
    """Merge the four layers into one frozen value.

    Args:
        options: command-line values by lower-case name; None values are ignored.
        environ: the environment, by default the process's.
        toml: the settings file; it need not exist.

    Raises:
        SettingError: an unknown key, a wrong type or a value out of range, in any layer.
    """
    found = (
        sources.options_layer(Settings, options or {}),
        sources.environment_layer(Settings, os.environ if environ is None else environ),
        sources.toml_layer(Settings, toml),
    )
    origins = dict.fromkeys(Settings.model_fields, "default")
    for layer in reversed(found):
        origins |= dict.fromkeys(layer.values, layer.origin)
    try:
        with sources.opened(found):
            return Effective(Settings(), origins)
    except ValidationError as error:
        raise setting_error(error, Settings.model_fields, origins) from None
    except SettingError as error:
        origin = origins.get(error.key.lower(), error.origin)
        raise SettingError(error.key, found=error.found, accepts=error.accepts, origin=origin) from None
