"""The settings that change a value of the dataset, with the defaults of the specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from types import MappingProxyType
from typing import Final

NO_PARAMS: Final[Mapping[str, object]] = MappingProxyType({})

# Settings of the machinery: they are accepted, and change no value.
MACHINERY: Final = frozenset(
    (
        *("SYMBOLS", "MARKET", "ENDPOINT", "SPOOL_DIR", "DATA_DIR", "STATE_DIR", "ARTIFACTS_DIR", "SCENARIO_SCHEME"),
        *("RUN_HOURS", "PARQUET_ROTATE_SEC", "WSS_PING_INTERVAL", "DEDUP_LRU", "GRACE_SECS", "CONN_LIFE_SECS"),
        *("FIRST_DATA_SECS", "SILENCE_SECS", "QUEUE_FRAMES", "RETAIN_MB", "MAX_FRAME_BYTES", "CONNECT_BUDGET"),
        "METRICS_ADDR",
    )
)


def exact(value: object) -> Fraction:
    """Return the number a setting's text says, exactly: 0.4 is 2/5."""
    return Fraction(str(value))


def _fractions(*texts: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(text) for text in texts)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Every setting that a formula of sections 3-10 reads."""

    # Sources
    trade_stream: str = "aggTrade"
    book_streams: tuple[str, ...] = ("depth10@100ms",)
    book_source: str = ""
    # ofi
    bucket_ms: int = 100
    levels: int = 5
    level_weights: tuple[Fraction, ...] = field(default=_fractions("0.40", "0.25", "0.20", "0.10", "0.05"))
    # z
    z_win_secs: int = 300
    z_min_rows: int = 30
    z_min_secs: int = 60
    winsor_limit: float = 8.0
    # cvd
    z_mode: str = "delta"
    scale_mode: str = "hybrid"
    scale_fast_weight: float = 0.20
    fast_half_life_sec: float = 60.0
    half_life_sec: float = 600.0
    mad_multiplier: float = 1.8
    mad_window_trades: int = 300
    mad_min_trades: int = 50
    cvd_reset: str = "utc_day"
    # fusion
    w_ofi: float = 0.6
    w_cvd: float = 0.4
    # labels
    win_secs: int = 300
    active_tps: str = "2.0"
    vol_split: Fraction = field(default=Fraction(1, 2))
    vol_lookback_secs: int = 86_400
    vol_min_secs: int = 3_600
    session_hours: str = "Tokyo=0-8,London=8-16,NY=16-24"
    write_session_labels: bool = True
    fee_tier: str = "TM"
    # events
    quiet_secs: int = 60
    pivot_span_secs: int = 60
    div_max_secs: int = 1_800
    anomaly_z: float = 6.0
    anomaly_price_sigmas: Fraction = field(default=Fraction(8))
    conflict_z: float = 2.0

    @property
    def source(self) -> str:
        """Return the book stream that OFI is built from."""
        return self.book_source or self.book_streams[0]

    @property
    def win_ms(self) -> int:
        """Return the label window in milliseconds."""
        return self.win_secs * 1_000


def parse_params(params: Mapping[str, object]) -> Params:
    """Return the settings `params` asks for; a name nobody knows is an error."""
    values: dict[str, object] = {}
    known = {each.name: each for each in fields(Params)}
    for name, value in params.items():
        if name in MACHINERY:
            continue
        if name.lower() not in known or name != name.upper():
            message = f"expected a setting of docs/settings.md, found {name!r}"
            raise KeyError(message)
        values[name.lower()] = _converted(str(known[name.lower()].type), value)
    return Params(**values)  # type: ignore[arg-type]


def _converted(wanted: str, value: object) -> object:  # noqa: PLR0911 - one line per type
    if wanted == "int":
        return int(str(value))
    if wanted == "float":
        return float(str(value))
    if wanted == "bool":
        return str(value).lower() == "true"
    if wanted == "Fraction":
        return exact(value)
    if wanted == "tuple[str, ...]":
        return tuple(items(value))
    if wanted == "tuple[Fraction, ...]":
        return tuple(exact(item) for item in items(value))
    return as_map_text(value)


def items(value: object) -> list[str]:
    """Return the items of a list, or of its comma-separated text."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(item) for item in value]
    return [part.strip() for part in str(value).split(",")]


def as_map_text(value: object) -> str:
    """Return a map as the text `KEY=value,...` that settings are written in; other values as their text."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def for_symbol(text: str, symbol: str) -> str:
    """Return what a setting says for one symbol: one value for all, or a map with `*` for the rest."""
    if "=" not in text:
        return text.strip()
    table = dict(part.split("=", 1) for part in items(text))
    return table[symbol] if symbol in table else table["*"]
