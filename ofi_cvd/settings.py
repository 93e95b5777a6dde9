"""Every setting of SPEC section 11: its type, range, default, and where its effective value came from.

Precedence: command-line option > environment (`OFI_<NAME>`, then the bare `<NAME>`) > `ofi.toml` > default.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ofi_cvd.errors import SettingError

SYMBOL_PATTERN = re.compile(r"[A-Z0-9]{2,20}(_[0-9]{6}|_PERP)?")
STREAM_PATTERN = re.compile(r"aggTrade|trade|bookTicker|depth(5|10|20)(@100ms|@250ms|@500ms)?")
BOOK_PATTERN = re.compile(r"bookTicker|depth(5|10|20)(@100ms|@250ms|@500ms)?")
FEE_TIERS = ("TL", "TM", "TH")
SESSIONS = ("Tokyo", "London", "NY")


def _split(value: object) -> object:
    """Let `A,B` and `["A", "B"]` both stand for a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _text(value: object) -> object:
    """Keep numbers given in TOML as the text they were written in."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def check_symbol(symbol: str) -> str:
    """Return `symbol`, or raise ValueError: only upper-case letters and digits may become part of a path."""
    if not SYMBOL_PATTERN.fullmatch(symbol):
        raise ValueError("an upper-case exchange symbol such as BTCUSDT")
    return symbol


def _book_stream(stream: str) -> str:
    if not BOOK_PATTERN.fullmatch(stream):
        raise ValueError("bookTicker, depth5@100ms, depth10@100ms or depth20@100ms")
    return stream


def _weight(text: str) -> str:
    try:
        weight = Decimal(text)
    except InvalidOperation:
        weight = Decimal(-1)
    if not weight.is_finite() or weight < 0:
        raise ValueError("decimal weights of zero or more such as 0.40,0.25,0.20,0.10,0.05")
    return text


def _by_symbol(text: str, accepts: str, check: re.Pattern[str]) -> str:
    """Check a single value or a map `BTCUSDT=12,*=2.0`."""
    for part in text.split(","):
        key, has_key, value = part.strip().rpartition("=")
        if not check.fullmatch(value) or (has_key and key != "*" and not SYMBOL_PATTERN.fullmatch(key)):
            raise ValueError(accepts)
    if "=" not in text and "," in text:
        raise ValueError(accepts)
    return text


def _fee_tier(text: str) -> str:
    return _by_symbol(text, "TL, TM or TH, or a map such as BTCUSDT=TL,*=TM", re.compile("TL|TM|TH"))


def _active_tps(text: str) -> str:
    number = r"\d+(\.\d+)?|q(0(\.\d+)?|1(\.0+)?)"
    return _by_symbol(
        text, "a rate such as 2.0, a quantile such as q0.5, or a map such as BTCUSDT=12,*=2.0", re.compile(number)
    )


def _session_hours(text: str) -> str:
    accepts = "hours of the day for the three sessions, without overlap, such as Tokyo=0-8,London=8-16,NY=16-24"
    taken: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(Tokyo|London|NY)=(\d{1,2})-(\d{1,2})\s*", part)
        hours = set(range(int(match[2]), int(match[3]))) if match else set()
        if not hours or max(hours) > 23 or hours & taken:
            raise ValueError(accepts)
        taken |= hours
    return text


def _endpoint(text: str) -> str:
    if text != "binance" and not re.fullmatch(r"https?://[^\s/]+/?", text):
        raise ValueError("binance, or the http URL of an exchange such as http://127.0.0.1:9443")
    return text.rstrip("/")


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Text = Annotated[str, BeforeValidator(_text)]
Seconds = Annotated[int, Field(ge=1, le=31 * 86_400)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The effective settings; frozen. Attribute names are SPEC's names in lower case.

    Example:
        >>> Settings(symbols="BTCUSDT").symbols
        ('BTCUSDT',)
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    # What is recorded
    market: Literal["usdm", "spot"] = "usdm"
    endpoint: Annotated[str, AfterValidator(_endpoint)] = "binance"
    symbols: Annotated[Names, Field(min_length=1)] = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "SOLUSDT")
    trade_stream: Literal["aggTrade", "trade"] = "aggTrade"
    book_streams: Annotated[Names, Field(min_length=1)] = ("depth10@100ms",)
    book_source: str = ""  # empty: the first of book_streams
    # Where things are
    spool_dir: Path = Path("data/spool")
    data_dir: Path = Path("data/ofi_cvd")
    state_dir: Path = Path("data/state")
    artifacts_dir: Path = Path("artifacts")
    # The recorder
    run_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 72.0
    wss_ping_interval: Positive = 20.0
    dedup_lru: Annotated[int, Field(ge=1, le=10_000_000)] = 8192
    conn_life_secs: Positive = 85_200.0  # 23 h 40 m: before the exchange's own 24 h
    first_data_secs: Positive = 30.0
    silence_secs: Positive = 15.0  # of a fast stream; slow ones are scaled from their own rate
    queue_frames: Annotated[int, Field(ge=100, le=100_000_000)] = 200_000
    retain_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 256  # kept in memory while the disk refuses writes
    max_frame_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    connect_budget: Annotated[int, Field(ge=1, le=300)] = 250  # attempts in five minutes for this address
    seal_after_secs: Annotated[int, Field(ge=0, le=86_400)] = 600  # 0: never
    metrics_addr: Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$|^off$")] = "127.0.0.1:9108"
    # Slices
    parquet_rotate_sec: Annotated[int, Field(ge=1, le=3600)] = 60
    grace_secs: Annotated[float, Field(ge=0, le=3600)] = 5.0
    # Order-flow imbalance, SPEC 5
    bucket_ms: Annotated[int, Field(ge=1, le=1000)] = 100
    levels: Annotated[int, Field(ge=1, le=20)] = 5
    level_weights: Annotated[tuple[Annotated[Text, AfterValidator(_weight)], ...], BeforeValidator(_split)] = (
        "0.40", "0.25", "0.20", "0.10", "0.05",
    )  # fmt: skip
    z_win_secs: Seconds = 300
    z_min_rows: Annotated[int, Field(ge=2)] = 30
    z_min_secs: Annotated[int, Field(ge=0)] = 60
    winsor_limit: Positive = 8.0
    # Cumulative volume delta, SPEC 6
    cvd_reset: Literal["utc_day", "never"] = "utc_day"
    z_mode: Literal["delta", "level"] = "delta"
    scale_mode: Literal["hybrid", "ewma"] = "hybrid"
    scale_fast_weight: Share = 0.20
    fast_half_life_sec: Positive = 60.0
    half_life_sec: Positive = 600.0
    mad_multiplier: Weight = 1.8
    mad_window_trades: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    mad_min_trades: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    # Fusion, SPEC 7
    w_ofi: Weight = 0.6
    w_cvd: Weight = 0.4
    # Labels, SPEC 8
    win_secs: Seconds = 300
    active_tps: Annotated[Text, AfterValidator(_active_tps)] = "2.0"
    vol_split: Share = 0.5
    vol_lookback_secs: Seconds = 86_400
    vol_min_secs: Annotated[int, Field(ge=0, le=31 * 86_400)] = 3600
    write_session_labels: bool = True
    session_hours: Annotated[str, AfterValidator(_session_hours)] = "Tokyo=0-8,London=8-16,NY=16-24"
    scenario_scheme: Literal["regime2x2"] = "regime2x2"
    fee_tier: Annotated[str, AfterValidator(_fee_tier)] = "TM"
    # Events, SPEC 9
    pivot_span_secs: Seconds = 60
    div_max_secs: Seconds = 1800
    quiet_secs: Annotated[int, Field(ge=0, le=86_400)] = 60
    anomaly_z: Positive = 6.0
    anomaly_price_sigmas: Positive = 8.0
    conflict_z: Positive = 2.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back: `load` merges the layers and keeps their origin."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def model_post_init(self, _context: object, /) -> None:
        """Check what needs more than one setting."""
        for symbol in self.symbols:
            _require("SYMBOLS", symbol, SYMBOL_PATTERN, "upper-case exchange symbols such as BTCUSDT,ETHUSDT")
        for stream in self.book_streams:
            _require("BOOK_STREAMS", stream, BOOK_PATTERN, "bookTicker, depth5@100ms, depth10@100ms or depth20@100ms")
        if self.book_source:
            _require("BOOK_SOURCE", self.book_source, BOOK_PATTERN, "one stream such as depth10@100ms or bookTicker")
        if len(self.level_weights) < self.levels or not any(Decimal(w) for w in self.level_weights[:1]):
            accepts = f"at least LEVELS = {self.levels} weights, the first above zero"
            raise SettingError("LEVEL_WEIGHTS", found=",".join(self.level_weights), accepts=accepts, origin="settings")
        if 3600 % self.parquet_rotate_sec:
            accepts = "a number of seconds that divides an hour"
            raise SettingError("PARQUET_ROTATE_SEC", found=self.parquet_rotate_sec, accepts=accepts, origin="settings")
        if 1000 % self.bucket_ms:
            accepts = "a number of milliseconds that divides a second"
            raise SettingError("BUCKET_MS", found=self.bucket_ms, accepts=accepts, origin="settings")

    @property
    def source(self) -> str:
        """The book stream that OFI is built from (`BOOK_SOURCE`, by default the first of `BOOK_STREAMS`)."""
        return self.book_source or self.book_streams[0]

    def for_symbol(self, name: Literal["active_tps", "fee_tier"], symbol: str) -> str | None:
        """Return the value a per-symbol setting has for `symbol`; None where a map leaves it out."""
        text: str = getattr(self, name)
        if "=" not in text:
            return text
        table = dict(part.strip().split("=") for part in text.split(","))
        return table.get(symbol, table.get("*"))

    def parameters(self) -> dict[str, object]:
        """Return the settings that decide values of the dataset, by SPEC name: no paths, nothing of the recorder."""
        values = self.model_dump(mode="json", include=set(PARAMETERS))
        values["book_source"] = self.source
        return {name.upper(): values[name] for name in sorted(values)}

    def canonical_parameters(self) -> str:
        """Return the parameters as canonical JSON, as every part carries them.

        A parameter introduced after the first release is left out while it has its default, so that the fingerprints of
        datasets built before it stay what they are.
        """
        plain = {name.upper() for name in LATER_PARAMETERS if getattr(self, name) == _default(name)}
        kept = {name: value for name, value in self.parameters().items() if name not in plain}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the canonical parameter JSON."""
        return hashlib.sha256(self.canonical_parameters().encode()).hexdigest()

    def with_parameters(self, parameters: Mapping[str, object]) -> Settings:
        """Return these settings with the parameters of a dataset in the place of their own.

        Raises:
            SettingError: a parameter that this version does not know, or a value it does not accept.
        """
        known = {name: getattr(self, name) for name in type(self).model_fields if name not in PARAMETERS}
        given = {name.lower(): value for name, value in parameters.items()}
        for name in sorted(given.keys() - set(PARAMETERS)):
            accepts = "a parameter of this version; a newer version of the package built this dataset"
            raise SettingError(name.upper(), found=given[name], accepts=accepts, origin="dataset")
        try:
            return Settings(**known, **given)  # type: ignore[arg-type]  # pydantic checks every value
        except ValidationError as error:
            raise _setting_error(error.errors()[0], dict.fromkeys(given, "dataset")) from None


PARAMETERS = (
    "market", "trade_stream", "book_source", "bucket_ms", "levels", "level_weights", "z_win_secs", "z_min_rows",
    "z_min_secs", "winsor_limit", "cvd_reset", "z_mode", "scale_mode", "scale_fast_weight", "fast_half_life_sec",
    "half_life_sec", "mad_multiplier", "mad_window_trades", "mad_min_trades", "w_ofi", "w_cvd", "win_secs",
    "active_tps", "vol_split", "vol_lookback_secs", "vol_min_secs", "write_session_labels", "session_hours",
    "scenario_scheme", "fee_tier", "pivot_span_secs", "div_max_secs", "quiet_secs", "anomaly_z",
    "anomaly_price_sigmas", "conflict_z",
)  # fmt: skip
LATER_PARAMETERS: tuple[str, ...] = ()
"""Parameters introduced after the first release, which are not written while they have their default."""


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
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for origin, layer in (
        (str(toml), _toml_layer(toml)),
        ("environment", _environment_layer(environ)),
        ("option", {key: value for key, value in (options or {}).items() if value is not None}),
    ):
        for key, value in layer.items():
            name = key.lower()
            if name not in Settings.model_fields:
                raise SettingError(key, found=value, accepts="a setting that `ofi config` lists", origin=origin)
            values[name], origins[name] = value, origin
    try:
        settings = Settings(**values)  # type: ignore[arg-type]  # pydantic checks every value
    except ValidationError as error:
        raise _setting_error(error.errors()[0], origins) from None
    except SettingError as error:
        origin = origins.get(error.key.lower(), error.origin)
        raise SettingError(error.key, found=error.found, accepts=error.accepts, origin=origin) from None
    return Effective(settings, origins)


def _default(name: str) -> object:
    default: object = Settings.model_fields[name].get_default(call_default_factory=True)
    return default


def _require(key: str, value: str, pattern: re.Pattern[str], accepts: str) -> None:
    if not pattern.fullmatch(value):
        raise SettingError(key, found=value, accepts=accepts, origin="settings")


def _environment_layer(environ: Mapping[str, str]) -> dict[str, object]:
    layer: dict[str, object] = {
        name: environ[name.upper()] for name in Settings.model_fields if name.upper() in environ
    }
    prefixed = {key[4:]: value for key, value in environ.items() if key.startswith("OFI_")}
    unknown = [key for key in prefixed if key.lower() not in Settings.model_fields]
    if unknown:
        accepts = "OFI_ and a setting that `ofi config` lists"
        raise SettingError(f"OFI_{unknown[0]}", found=prefixed[unknown[0]], accepts=accepts, origin="environment")
    return layer | {key.lower(): value for key, value in prefixed.items()}


def _toml_layer(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        table: dict[str, object] = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(str(path), found=str(error), accepts="a TOML file in UTF-8", origin=str(path)) from None
    return table


def _setting_error(detail: ErrorDetails, origins: Mapping[str, str]) -> SettingError:
    name = str(detail["loc"][0]) if detail["loc"] else "settings"
    accepts = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return SettingError(name.upper(), found=detail["input"], accepts=accepts, origin=origins.get(name, "settings"))
