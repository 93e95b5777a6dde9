"""Every setting once: its type, its default, what it means, and whether it decides values of the dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ofi_cvd.errors import SettingError
from ofi_cvd.settings import declare, sources
from ofi_cvd.settings.accepts import setting_error
from ofi_cvd.settings.kinds import (
    NO_SOURCE,
    ActiveTps,
    BookSource,
    BookStreams,
    ContextStreams,
    Count,
    Endpoint,
    FeeTier,
    LevelWeights,
    MetricsAddress,
    Positive,
    Seconds,
    SecondsOfDay,
    SecondsOrNone,
    SessionHours,
    Share,
    Symbols,
    Weight,
)  # fmt: skip


class Settings(BaseSettings):
    """The effective settings; frozen. Attribute names are the settings' names in lower case.

    Example:
        >>> Settings(symbols="BTCUSDT").symbols
        ('BTCUSDT',)
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    market: Literal["usdm", "spot"] = declare.recorded(
        "usdm", "USD-M futures or spot; one market per dataset", parameter=True
    )
    endpoint: Endpoint = declare.recorded("binance", "the exchange, or the http URL of a built-in one on this machine")
    symbols: Symbols = declare.recorded(
        ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "SOLUSDT"), "symbols to record and to build"
    )
    trade_stream: Literal["aggTrade", "trade"] = declare.recorded(
        "aggTrade", "where trades come from: aggregated, or every single one", parameter=True
    )
    book_streams: BookStreams = declare.recorded(("depth10@100ms",), "book streams to record")
    book_source: BookSource = declare.recorded(
        "",
        "the book stream that order-flow imbalance is built from; empty: the first of BOOK_STREAMS; none: no book",
        parameter=True,
    )
    context_streams: ContextStreams = declare.recorded(
        (), "liquidations and mark prices to record beside; they are published as tables of their own"
    )

    spool_dir: Path = declare.place(Path("data/spool"), "the spool")
    data_dir: Path = declare.place(Path("data/ofi_cvd"), "the published tables")
    state_dir: Path = declare.place(
        Path("data/state"), "checkpoint and states of the build; may be deleted, costs time only"
    )
    artifacts_dir: Path = declare.place(Path("artifacts"), "reports and run logs")

    run_hours: Annotated[float, Field(gt=0, le=24 * 366)] = declare.recorder(72.0, "how long a run lasts")
    wss_ping_interval: Positive = declare.recorder(20.0, "seconds between the recorder's pings")
    dedup_lru: Count = declare.recorder(
        8192, "ids remembered per stream to recognise what two connections both delivered"
    )
    conn_life_secs: Positive = declare.recorder(
        85_200.0, "age in seconds at which a connection is replaced, before the exchange ends it at 24 h"
    )
    first_data_secs: Positive = declare.recorder(30.0, "seconds within which a new stream must deliver")
    silence_secs: Positive = declare.recorder(
        15.0, "silence in seconds after which a fast stream's connection is replaced; slow streams get longer"
    )
    queue_frames: Annotated[int, Field(ge=100, le=100_000_000)] = declare.recorder(
        200_000, "frames that may wait for the writer before they are dropped and counted"
    )
    retain_mb: Annotated[int, Field(ge=1, le=1_000_000)] = declare.recorder(
        256, "megabytes kept in memory while the disk refuses writes"
    )
    max_frame_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = declare.recorder(
        1024 * 1024, "the longest frame that is accepted"
    )
    connect_budget: Annotated[int, Field(ge=1, le=300)] = declare.recorder(
        250, "connection attempts from this address within five minutes"
    )
    seal_after_secs: SecondsOfDay = declare.recorder(
        600, "rest of an hour in seconds before its files are compressed; 0: never"
    )
    metrics_addr: MetricsAddress = declare.recorder("127.0.0.1:9108", "host:port where metrics are served, or off")
    snapshot_secs: Seconds = declare.recorder(
        900, "seconds after which a full-book stream gets a fresh snapshot, whatever happened"
    )

    parquet_rotate_sec: Annotated[int, Field(ge=1, le=3600)] = declare.slices(
        60, "length of a slice in seconds while recording; it divides an hour"
    )
    grace_secs: Annotated[float, Field(ge=0, le=3600)] = declare.slices(
        5.0, "seconds the spool must reach past a slice or hour before it is published or final"
    )

    bucket_ms: Annotated[int, Field(ge=1, le=1000)] = declare.ofi(
        100, "width of a row of `ofi` in ms; it divides a second", parameter=True
    )
    levels: Annotated[int, Field(ge=1, le=20)] = declare.ofi(5, "book levels that count", parameter=True)
    level_weights: LevelWeights = declare.ofi(
        ("0.40", "0.25", "0.20", "0.10", "0.05"),
        "weight of each level, best first; renormalised to the levels the source has",
        parameter=True,
    )
    z_win_secs: Seconds = declare.ofi(300, "trailing window of the z-scores in seconds", parameter=True)
    z_min_rows: Annotated[int, Field(ge=2)] = declare.ofi(30, "rows below which a z-score is null", parameter=True)
    z_min_secs: Annotated[int, Field(ge=0)] = declare.ofi(
        60, "age in seconds below which a z-score is null", parameter=True
    )
    winsor_limit: Positive = declare.ofi(8.0, "z-scores are clipped to plus and minus this", parameter=True)

    cvd_reset: Literal["utc_day", "never"] = declare.cvd("utc_day", "when the running sum returns to 0", parameter=True)
    z_mode: Literal["delta", "level"] = declare.cvd(
        "delta",
        "what `z_raw` measures: a trade's size in units of the typical trade size, or the standard score of `cvd`",
        parameter=True,
    )
    scale_mode: Literal["hybrid", "ewma"] = declare.cvd(
        "hybrid", "the typical trade size: a mix of two means with a floor, or the slow mean alone", parameter=True
    )
    scale_fast_weight: Share = declare.cvd(0.20, "weight of the fast mean in the mix", parameter=True)
    fast_half_life_sec: Positive = declare.cvd(60.0, "half-life in seconds of the fast mean size", parameter=True)
    half_life_sec: Positive = declare.cvd(600.0, "half-life in seconds of the slow mean size", parameter=True)
    mad_multiplier: Weight = declare.cvd(
        1.8, "the floor in robust standard deviations of the trade size", parameter=True
    )
    mad_window_trades: Annotated[int, Field(ge=1, le=1_000_000)] = declare.cvd(
        300, "trades the floor is measured over", parameter=True
    )
    mad_min_trades: Annotated[int, Field(ge=1, le=1_000_000)] = declare.cvd(
        50, "trades below which the scale is null", parameter=True
    )

    w_ofi: Weight = declare.fusion(0.6, "weight of the order-flow z-score", parameter=True)
    w_cvd: Weight = declare.fusion(0.4, "weight of the volume-delta z-score", parameter=True)

    win_secs: Seconds = declare.label(
        300, "window in seconds of regime and volatility, and of what counts as recent after a gap", parameter=True
    )
    active_tps: ActiveTps = declare.label(
        "2.0",
        "trades per second from which a symbol is Active: a rate, its own trailing quantile, or a map",
        parameter=True,
    )
    vol_split: Share = declare.label(0.5, "quantile of the trailing volatility above which it is High", parameter=True)
    vol_lookback_secs: Seconds = declare.label(86_400, "how far back in seconds that quantile looks", parameter=True)
    vol_min_secs: SecondsOrNone = declare.label(
        3600, "seconds of known volatility before it is called High or Low", parameter=True
    )
    write_session_labels: bool = declare.label(True, "whether rows carry their trading session", parameter=True)
    session_hours: SessionHours = declare.label(
        "Tokyo=0-8,London=8-16,NY=16-24", "UTC hours of the sessions", parameter=True
    )
    scenario_scheme: Literal["regime2x2"] = declare.label("regime2x2", "how scenarios are named", parameter=True)
    fee_tier: FeeTier = declare.label("TM", "fee tier written on each row: one, or a map by symbol", parameter=True)

    pivot_span_secs: Seconds = declare.event(60, "seconds on both sides that a pivot must beat", parameter=True)
    div_max_secs: Seconds = declare.event(1800, "most seconds between the two pivots of a divergence", parameter=True)
    quiet_secs: SecondsOfDay = declare.event(60, "seconds an event type rests after it was emitted", parameter=True)
    anomaly_z: Positive = declare.event(6.0, "z-score from which flow is an anomaly", parameter=True)
    anomaly_price_sigmas: Positive = declare.event(
        8.0, "one-second return, in its own standard deviations, from which price is an anomaly", parameter=True
    )
    conflict_z: Positive = declare.event(2.0, "z-score from which opposite flows are a conflict", parameter=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the layers that `load` opened, and nothing behind the caller's back."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings, *sources.layers())

    def model_post_init(self, _context: object, /) -> None:
        """Check what needs more than one setting."""
        weights = self.level_weights
        is_short = len(weights) < self.levels and weights != _default("level_weights")
        if is_short or not any(Decimal(weight) for weight in weights[:1]):
            accepts = f"at least LEVELS = {self.levels} weights, the first above zero"
            raise SettingError("LEVEL_WEIGHTS", found=",".join(weights), accepts=accepts, origin="settings")
        if 3600 % self.parquet_rotate_sec:
            accepts = "a number of seconds that divides an hour"
            raise SettingError("PARQUET_ROTATE_SEC", found=self.parquet_rotate_sec, accepts=accepts, origin="settings")
        if 1000 % self.bucket_ms:
            accepts = "a number of milliseconds that divides a second"
            raise SettingError("BUCKET_MS", found=self.bucket_ms, accepts=accepts, origin="settings")

    @property
    def source(self) -> str:
        """The book stream that OFI is built from (`BOOK_SOURCE`, by default the first of `BOOK_STREAMS`), or `none`."""
        return self.book_source or self.book_streams[0]

    @property
    def has_book(self) -> bool:
        """Whether the dataset has order-flow imbalance at all."""
        return self.source != NO_SOURCE

    @property
    def recorded_streams(self) -> tuple[str, ...]:
        """The streams that a recorder asks the exchange for, each once."""
        is_live = self.has_book and not self.source.startswith("tardis")
        source = (self.source,) if is_live else ()
        return tuple(dict.fromkeys((self.trade_stream, *self.book_streams, *source, *self.context_streams)))

    def for_symbol(self, name: Literal["active_tps", "fee_tier"], symbol: str) -> str | None:
        """Return what a per-symbol setting has for `symbol`; where a map leaves it out `TM` as fee tier, else None."""
        text: str = getattr(self, name)
        if "=" not in text:
            return text
        table = dict(part.strip().split("=") for part in text.split(","))
        return table.get(symbol, table.get("*", "TM" if name == "fee_tier" else None))

    def parameters(self) -> dict[str, object]:
        """Return the settings that decide values of the dataset, by name: no paths, nothing of the recorder."""
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
            raise setting_error(error, Settings.model_fields, dict.fromkeys(given, "dataset")) from None


def _default(name: str) -> object:
    default: object = Settings.model_fields[name].get_default(call_default_factory=True)
    return default


def _extra(name: str) -> Mapping[str, object]:
    extra = Settings.model_fields[name].json_schema_extra
    return extra if isinstance(extra, dict) else {}


PARAMETERS: Final = tuple(name for name in Settings.model_fields if _extra(name)["parameter"])
"""Settings that decide values of the dataset."""
LATER_PARAMETERS: Final[tuple[str, ...]] = ()
"""Parameters introduced after the first release, which are not written while they have their default."""


def meanings() -> dict[str, dict[str, str]]:
    """Return what each setting means, by heading of the settings page."""
    groups: dict[str, dict[str, str]] = {}
    for name, field in Settings.model_fields.items():
        groups.setdefault(str(_extra(name)["group"]), {})[name] = str(field.description)
    return groups
