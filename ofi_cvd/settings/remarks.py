"""What valid settings do to each other that nobody may have wanted."""

from __future__ import annotations

from ofi_cvd.settings.model import Settings


def remarks(settings: Settings) -> list[str]:
    """Return a sentence for each setting that makes another one useless; empty where there is none."""
    told = []
    if settings.winsor_limit < settings.anomaly_z:
        told.append(
            f"WINSOR_LIMIT {settings.winsor_limit:g} is below ANOMALY_Z {settings.anomaly_z:g}: "
            "no z can reach it, so anomaly_ofi, anomaly_cvd and anomaly_fusion never fire."
        )
    return told
