"""How a setting is declared: its heading, default, meaning, and whether it is a parameter of the dataset."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field


def setting(group: str, default: object, meaning: str, *, parameter: bool = False) -> Any:
    """Declare a setting.

    Args:
        group: its heading on the settings page.
        default: the value nobody has to give.
        meaning: one phrase, units included.
        parameter: whether it decides values of the dataset, so that the fingerprint covers it.
    """
    return Field(default, description=meaning, json_schema_extra={"group": group, "parameter": parameter})


recorded = partial(setting, "What is recorded")
place = partial(setting, "Where things are")
recorder = partial(setting, "The recorder")
slices = partial(setting, "Slices")
ofi = partial(setting, "Order-flow imbalance")
cvd = partial(setting, "Cumulative volume delta")
fusion = partial(setting, "Fusion")
label = partial(setting, "Labels")
event = partial(setting, "Events")
