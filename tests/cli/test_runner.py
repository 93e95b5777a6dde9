"""The runner of commands: what cannot be done as asked is one sentence and status 2, and nothing recorded is not success."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ofi_cvd.cli import main
from ofi_cvd.collect.stats import RecorderStats
from ofi_cvd.common.addresses import is_loopback
from ofi_cvd.settings import Settings

SECOND_MS = 1_000


@pytest.fixture
def ofi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process at 80 columns; returns (exit status, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ofi", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return call


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bogus"], "ofi: no such option: --bogus"),
        (["nope"], "ofi: no such command 'nope'"),
        (["build", "--bogus"], "ofi: no such option: --bogus"),
        (["exchange", "--port", "abc"], "ofi: Invalid value for '--port': expected integer"),
        (["status"], "ofi: data/spool: expected a spool"),
        (["seal", "--spool-dir", "file"], "ofi: file: expected a spool"),
        (["compact", "--data-dir", "nope"], "ofi: nope: expected a published dataset"),
        (["compact", "--data-dir", "file"], "ofi: file: expected the folder of a dataset, found a file"),
        (["sql", "SELECT 1", "--data-dir", "nope"], "ofi: nope: expected a published dataset"),
        (["dq", "--artifacts-dir", "file/x", "--start", "2026-01-01", "--end", "2026-01-02"], "ofi: file/x: expected a folder"),
        (["harvest", "--state-dir", "file/x"], "ofi: file/x: expected a folder that can be written"),
        (["harvest", "--data-dir", "file"], "ofi: file: expected a folder that can be written"),
        (["simulate", "--hours", "0.01", "--symbols", "BTCUSDT", "--out", "file/x"], "ofi: file"),
        (["build", "--start", "2026-01-02", "--end", "2026-01-01"], "ofi: --start, --end: expected a start before the end"),
        (["dq", "--start", "2026-01-01", "--end", "2026-01-01"], "ofi: --start, --end: expected a start before the end"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(ofi: Any, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    status, out, err = ofi(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_a_host_that_is_none_fails_in_a_sentence(ofi: Any) -> None:
    status, _, err = ofi("exchange", "--host", "no.such.host.invalid", "--port", "0", "--symbols", "BTCUSDT")
    assert status == 1
    assert "ofi: expected to bind no.such.host.invalid:0, found: " in err
    assert "Traceback" not in err


def test_nothing_recorded_is_no_success(ofi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that ended without one frame has failed, whatever it was told."""
    monkeypatch.setattr("ofi_cvd.collect.process.run_recorder", lambda _settings: RecorderStats())
    status, out, err = ofi("collect", "--json")
    assert status == 1
    assert json.loads(out)["received"] == 0
    assert err == "ofi: expected frames from binance, found none: nothing was recorded\n"


def test_ctrl_c_is_one_line(ofi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_settings: Settings) -> RecorderStats:
        raise KeyboardInterrupt

    monkeypatch.setattr("ofi_cvd.collect.process.run_recorder", interrupted)
    status, out, err = ofi("collect")
    assert (status, out) == (130, "")
    assert err.strip().count("\n") == 0


@pytest.mark.parametrize(("asked", "secs"), [((), 20), (("--slice", "1h"), 3600)])
def test_following_publishes_in_the_slices_of_a_run(
    ofi: Any, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], secs: int
) -> None:
    """PARQUET_ROTATE_SEC is what `build --follow` uses, unless a slice is asked for."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr("ofi_cvd.publish.follow.follow", lambda _settings, **facts: seen.update(facts))
    ofi("build", "--follow", "--set", "PARQUET_ROTATE_SEC=20", *asked)
    assert seen["slice_secs"] == secs


def test_an_answer_is_legible_at_eighty_columns(ofi: Any) -> None:
    """A wide row is a record; times are readable, floats short; the last receipt is shown to the minute it came in."""
    ofi("simulate", "--hours", "0.02", "--symbols", "BTCUSDT")
    ofi("build", "--symbols", "BTCUSDT", "--workers", "1")
    status, wide, _ = ofi("sql", "SELECT * FROM prices ORDER BY ts_ms LIMIT 2")
    assert status == 0
    assert "--- row 2 ---" in wide
    assert "2026-01-05 00:00:0" in wide
    assert max(map(len, wide.splitlines())) <= 80
    _, narrow, _ = ofi("sql", "SELECT ts_ms, price / 3 AS third FROM prices ORDER BY ts_ms LIMIT 1")
    assert len(narrow.split()[-1]) <= 10
    _, shown, _ = ofi("status", "--symbols", "BTCUSDT", "--json")
    recorded_to_ms = json.loads(shown)["BTCUSDT"]["recorded_to_ms"]
    begin_ms = 1_767_571_200_000  # 2026-01-05
    assert begin_ms < recorded_to_ms <= begin_ms + 72 * SECOND_MS
    status, _, _ = ofi("sql", "SELECT 1 AS one", "--out", "new/folder/one.csv")
    assert (status, Path("new/folder/one.csv").read_text("utf-8")) == (0, "one\n1\n")


def test_queries_are_listed_whole_and_explained(ofi: Any) -> None:
    from ofi_cvd.quality import queries  # noqa: PLC0415

    _, listed, _ = ofi("sql", "--list")
    assert {name for name in queries.names() if name not in listed} == set()
    _, facts, _ = ofi("sql", "--list", "--format", "json")
    assert [one["name"] for one in json.loads(facts)] == list(queries.names())
    status, text, _ = ofi("sql", "winsor", "--help")
    assert status == 0
    assert "warm_up BIGINT" in text


def test_the_list_of_commands_is_not_cut(ofi: Any) -> None:
    _, text, _ = ofi("--help")
    assert "..." not in text.partition("\n")[2]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("[::1]", True), ("0.0.0.0", False), ("box", False)])
def test_an_address_that_others_reach_is_known(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_metrics_for_others_are_warned_of(ofi: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text("{}", "utf-8")

    class Outcome:
        passed = True

    Outcome.summary = summary  # type: ignore[attr-defined]
    monkeypatch.setattr("ofi_cvd.harvest.command.run_harvest", lambda *_, **__: Outcome)
    _, _, err = ofi("harvest", "--json", "--set", "METRICS_ADDR=0.0.0.0:9108")
    assert "METRICS_ADDR 0.0.0.0 can be reached" in err.replace("\n", " ")
    _, _, err = ofi("harvest", "--json")
    assert err == ""
