"""Settings: four layers, their order, what is refused and how, and what decides the fingerprint (docs/settings.md)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.errors import SettingError
from ofi_cvd.settings import PARAMETERS, Settings, load

NO_FILE = Path("none.toml")


def toml(folder: Path, text: str) -> Path:
    path = folder / "ofi.toml"
    path.write_text(text, "utf-8")
    return path


def test_each_layer_gives_way_to_the_one_above(tmp_path: Path) -> None:
    """Option before OFI_ name before bare name before file before default, each with its origin."""
    path = toml(tmp_path, "WIN_SECS = 100\nz_win_secs = 200\nWINSOR_LIMIT = 5")
    environ = {"WIN_SECS": "400", "OFI_WIN_SECS": "500", "Z_WIN_SECS": "600", "UNRELATED": "x"}
    found = load({"win_secs": 700, "z_win_secs": None}, environ=environ, toml=path)
    values = found.settings
    assert (values.win_secs, found.origins["win_secs"]) == (700, "option")
    assert (values.z_win_secs, found.origins["z_win_secs"]) == (600, "environment")
    assert (values.winsor_limit, found.origins["winsor_limit"]) == (5.0, str(path))
    assert (values.vol_split, found.origins["vol_split"]) == (0.5, "default")
    assert load(environ=environ, toml=path).settings.win_secs == 500
    assert load(environ={"WIN_SECS": "400"}, toml=path).settings.win_secs == 400
    assert load(environ={}, toml=path).settings.win_secs == 100
    assert load(environ={}, toml=NO_FILE).settings == Settings()


BAD = [
    ("win_secs", "many", "WIN_SECS", "a whole number at least 1"),
    ("win_secs", 0, "WIN_SECS", "at least 1"),
    ("win_secs", 1.5, "WIN_SECS", "a whole number"),
    ("vol_split", 1.5, "VOL_SPLIT", "at most 1"),
    ("vol_split", "nan", "VOL_SPLIT", "a number at least 0"),
    ("winsor_limit", "inf", "WINSOR_LIMIT", "a number above 0"),
    ("market", "coinm", "MARKET", "usdm or spot"),
    ("z_mode", "both", "Z_MODE", "delta or level"),
    ("scenario_scheme", "other", "SCENARIO_SCHEME", "regime2x2"),
    ("symbols", "btcusdt", "SYMBOLS", "upper-case"),
    ("symbols", "../../etc", "SYMBOLS", "upper-case"),
    ("symbols", "", "SYMBOLS", "upper-case exchange symbols"),
    ("book_streams", "depth7", "BOOK_STREAMS", "depth10@100ms"),
    ("book_streams", "depth7@100ms", "BOOK_STREAMS", "a diff stream such as depth@100ms"),
    ("book_streams", "none", "BOOK_STREAMS", "bookTicker"),
    ("book_source", "depth@300ms", "BOOK_SOURCE", "tardisL2"),
    ("context_streams", "markPrice", "CONTEXT_STREAMS", "forceOrder"),
    ("snapshot_secs", 0, "SNAPSHOT_SECS", "a whole number at least 1"),
    ("metrics_addr", "127.0.0.1:99999", "METRICS_ADDR", "host:port"),
    ("spool_dir", 7, "SPOOL_DIR", "a folder"),
    ("levels", 21, "LEVELS", "at most 20"),
    ("book_source", "aggTrade", "BOOK_SOURCE", "depth10@100ms or bookTicker"),
    ("fee_tier", "TX", "FEE_TIER", "TL, TM or TH"),
    ("fee_tier", "BTCUSDT=TL,*=XX", "FEE_TIER", "TL, TM or TH"),
    ("active_tps", "-1", "ACTIVE_TPS", "a rate such as 2.0"),
    ("active_tps", "q1.5", "ACTIVE_TPS", "a quantile such as q0.5"),
    ("session_hours", "Tokyo=0-9,London=8-16", "SESSION_HOURS", "without overlap"),
    ("session_hours", "Tokyo=0-25", "SESSION_HOURS", "hours of the day"),
    ("level_weights", "0.4,-1,1,1,1", "LEVEL_WEIGHTS", "zero or more"),
    ("level_weights", "0.4,0.3", "LEVEL_WEIGHTS", "at least LEVELS = 5 weights"),
    ("parquet_rotate_sec", 7, "PARQUET_ROTATE_SEC", "divides an hour"),
    ("bucket_ms", 300, "BUCKET_MS", "divides a second"),
    ("endpoint", "ftp://here", "ENDPOINT", "http URL"),
    ("write_session_labels", "perhaps", "WRITE_SESSION_LABELS", "true or false"),
]


@pytest.mark.parametrize(("name", "value", "key", "accepts"), BAD)
def test_a_bad_value_is_named_with_what_is_accepted(name: str, value: object, key: str, accepts: str) -> None:
    """The key, where it came from, what would do and what was found."""
    with pytest.raises(SettingError) as caught:
        load({name: value}, environ={}, toml=NO_FILE)
    assert caught.value.key == key
    assert caught.value.origin == "option"
    assert accepts in caught.value.accepts
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)
    for foreign in ("Input should", "Tuple should", "unable to", "Value error", "valid"):
        assert foreign not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["none", "depth", "depth@0ms", "depth@250ms", "tardisL2", "tardisBook25", "bookTicker"]
)
def test_a_book_may_come_from_anywhere_or_nowhere(source: str) -> None:
    """What is not live, or no book at all, is not asked of the exchange."""
    found = load({"book_source": source, "book_streams": "depth5@100ms"}, environ={}, toml=NO_FILE).settings
    assert found.source == source
    assert found.has_book == (source != "none")
    recorded = {"aggTrade", "depth5@100ms"} | ({source} if source.startswith(("depth", "book")) else set())
    assert set(found.recorded_streams) == recorded


def test_context_is_recorded_only_where_it_is_asked_for() -> None:
    assert Settings().recorded_streams == ("aggTrade", "depth10@100ms")
    both = load({"context_streams": "forceOrder,markPrice@1s"}, environ={}, toml=NO_FILE).settings
    assert both.recorded_streams[-2:] == ("forceOrder", "markPrice@1s")
    assert both.fingerprint() == Settings().fingerprint()


def test_weights_that_nobody_gave_are_zero_and_those_given_are_enough() -> None:
    """The default weights serve more levels; weights that were set must reach."""
    assert load({"levels": 20}, environ={}, toml=NO_FILE).settings.levels == 20
    assert Settings().with_parameters(load({"levels": 20}, environ={}, toml=NO_FILE).settings.parameters()).levels == 20
    with pytest.raises(SettingError, match="at least LEVELS = 20 weights"):
        load({"levels": 20, "level_weights": "0.5,0.5"}, environ={}, toml=NO_FILE)


def test_an_unknown_key_is_named_in_every_layer(tmp_path: Path) -> None:
    """A misspelt setting must not be a default in silence."""
    path = toml(tmp_path, "WIN_SEC = 100")
    layers = (({"win_sec": 1}, {}, NO_FILE), (None, {"OFI_WIN_SEC": "1"}, NO_FILE), (None, {}, path))
    for options, environ, file in layers:
        with pytest.raises(SettingError, match=r"(?i)WIN_SEC .*expected .*`ofi config` lists"):
            load(options, environ=environ, toml=file)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(SettingError, match=r"ofi\.toml.*expected a TOML file in UTF-8"):
        load(environ={}, toml=toml(tmp_path, "WIN_SECS = = 1"))


def test_settings_are_frozen() -> None:
    """A value is what it was when it was checked."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().win_secs = 5  # type: ignore[misc]  # the point


def test_maps_speak_of_symbols() -> None:
    """The symbol's own value, else that of the star; a map of fee tiers that leaves one out means TM."""
    found = load({"active_tps": "BTCUSDT=12,*=2.0", "fee_tier": "BTCUSDT=TL"}, environ={}, toml=NO_FILE).settings
    assert found.for_symbol("active_tps", "BTCUSDT") == "12"
    assert found.for_symbol("active_tps", "ETHUSDT") == "2.0"
    assert found.for_symbol("fee_tier", "ETHUSDT") == "TM"
    assert Settings().for_symbol("fee_tier", "ETHUSDT") == "TM"


CHANGED: dict[str, object] = {
    "market": "spot", "trade_stream": "trade", "book_source": "bookTicker", "bucket_ms": 200, "levels": 3,
    "level_weights": "0.5,0.2,0.1,0.1,0.1", "z_win_secs": 200, "z_min_rows": 20, "z_min_secs": 30, "winsor_limit": 6,
    "cvd_reset": "never", "z_mode": "level", "scale_mode": "ewma", "scale_fast_weight": 0.3, "fast_half_life_sec": 30,
    "half_life_sec": 300, "mad_multiplier": 2, "mad_window_trades": 200, "mad_min_trades": 40, "w_ofi": 0.5, "w_cvd": 0.5,
    "win_secs": 200, "active_tps": "3.0", "vol_split": 0.6, "vol_lookback_secs": 3600, "vol_min_secs": 1800,
    "write_session_labels": False, "session_hours": "Tokyo=0-9,London=9-16,NY=16-24", "fee_tier": "TL",
    "pivot_span_secs": 30, "div_max_secs": 900, "quiet_secs": 30, "anomaly_z": 5, "anomaly_price_sigmas": 7, "conflict_z": 3,
}  # fmt: skip


def test_the_fingerprint_is_that_of_the_parameters_alone() -> None:
    """Every parameter changes it, each to another; a folder, a symbol or the recorder's settings do not."""
    plain = Settings().fingerprint()
    assert set(CHANGED) == set(PARAMETERS) - {"scenario_scheme"}  # of which there is one value
    prints = {load({name: value}, environ={}, toml=NO_FILE).settings.fingerprint() for name, value in CHANGED.items()}
    assert len(prints) == len(CHANGED)
    assert plain not in prints
    others = {
        "symbols": "BTCUSDT",
        "spool_dir": "x",
        "data_dir": "y",
        "state_dir": "z",
        "run_hours": 1,
        "grace_secs": 9,
    }
    assert load(others, environ={}, toml=NO_FILE).settings.fingerprint() == plain
    explicit = load({"book_source": "depth10@100ms"}, environ={}, toml=NO_FILE).settings
    assert explicit.fingerprint() == plain  # what it was by default


def test_every_setting_is_shown_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ofi config` lists each name once; as JSON each has a value and an origin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFI_WIN_SECS", "120")
    toml(tmp_path, "QUIET_SECS = 30")
    text = CliRunner().invoke(app, ["config", "--set", "Z_WIN_SECS=60"]).stdout
    shown = [line.split()[0] for line in text.splitlines() if line.split() and line.split()[0].isupper()]
    assert sorted(shown) == sorted(name.upper() for name in Settings.model_fields)
    told = json.loads(CliRunner().invoke(app, ["config", "--set", "Z_WIN_SECS=60", "--json"]).stdout)["settings"]
    assert told.keys() == {name.upper() for name in Settings.model_fields}
    assert told["WIN_SECS"] == {"value": 120, "origin": "environment"}
    assert told["Z_WIN_SECS"] == {"value": 60, "origin": "option"}
    assert told["QUIET_SECS"] == {"value": 30, "origin": "ofi.toml"}
    assert told["VOL_SPLIT"] == {"value": 0.5, "origin": "default"}
