"""Every setting: its type, range, meaning and default (`model`), and where its effective value came from (`layers`).

Precedence: command-line option > environment (`OFI_<NAME>`, then the bare `<NAME>`) > `ofi.toml` > default.
"""

from __future__ import annotations

from ofi_cvd.settings.kinds import CONTEXT_PATTERN, NO_SOURCE, STREAM_PATTERN, SYMBOL_PATTERN, check_symbol
from ofi_cvd.settings.layers import Effective, load
from ofi_cvd.settings.model import LATER_PARAMETERS, PARAMETERS, Settings, meanings

__all__ = [
    "CONTEXT_PATTERN", "LATER_PARAMETERS", "NO_SOURCE", "PARAMETERS", "STREAM_PATTERN", "SYMBOL_PATTERN", "Effective",
    "Settings", "check_symbol", "load", "meanings",
]  # fmt: skip
