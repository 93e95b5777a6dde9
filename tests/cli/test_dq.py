"""`ofi dq`, `ofi sql` and `ofi compact` as a user meets them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from ofi_cvd.cli import main
from ofi_cvd.dataset.sample import SAMPLE_DIR
from ofi_cvd.quality import queries
from ofi_cvd.quality.report import schema
from tests.quality.synthetic import START_MS, Market, hole, ledger, publish, with_fault

MARKET = Market(hours=2, tps=2)
RUN = ("--symbols", "BTCUSDT,ETHUSDT", "--start", "2025-10-16T00:00", "--end", "2025-10-16T02:00")


class Ofi:
    """Runs commands in one folder and keeps what they said."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self.root, self.monkeypatch, self.captured = root, monkeypatch, capfdbinary
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        self.monkeypatch.chdir(self.root)
        self.monkeypatch.setattr(sys, "argv", ["ofi", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        sys.stdout.flush()
        said = self.captured.readouterr()
        self.out, self.err = said.out.decode(), said.err.decode()
        return int(stopped.value.code or 0)


@pytest.fixture
def ofi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Ofi:
    monkeypatch.setenv("COLUMNS", "120")
    return Ofi(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A sound dataset under `data/`, where the settings expect it."""
    publish(tmp_path / "data", MARKET)
    return tmp_path / "data"


def test_dq_passes_and_writes_its_documents(ofi: Ofi, data: Path) -> None:
    """Exit 0, a verdict first, three files named after the last hour, valid against their schemas."""
    assert ofi("dq", *RUN) == 0
    first, beside = ofi.out.splitlines()[0].split(";")
    assert first == "PASS: all 8 judged gates passed, 2 not judged (coverage_scene, coverage_session)"
    assert beside.startswith(" 2025-10-16 00:00 to 2025-10-16 02:00 UTC")
    folder = data.parent / "artifacts" / "dq_reports"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["dq_20251016_01.html", "dq_20251016_01.json", "slices_manifest_20251016_01.json"]
    for name in ("dq", "slices_manifest"):
        document = json.loads((folder / f"{name}_20251016_01.json").read_text("utf-8"))
        jsonschema.validate(document, schema(name))
        assert document["run_tag"] == "ok"


def test_dq_fails_with_a_red_gate(ofi: Ofi, tmp_path: Path) -> None:
    """Exit 1, the gate and the place in the table."""
    publish(tmp_path / "data", with_fault(MARKET, hole(5000, 3, declared=True)))
    assert ofi("dq", *RUN, "--no-page") == 1
    assert ofi.out.splitlines()[0].startswith("FAIL: 1 of 10 gates failed (trade_ids)")
    assert "BTCUSDT 3 in 1 gaps" in ofi.out


def test_dq_speaks_ascii_to_a_plain_terminal(ofi: Ofi, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without letters for frames the tables are plain."""
    from ofi_cvd.common import terminal as console  # noqa: PLC0415

    monkeypatch.setattr(console, "can_show", lambda *_: False)
    assert ofi("dq", *RUN, "--no-page") == 0
    assert ofi.out.isascii()


def test_dq_prints_json_for_scripts(ofi: Ofi, data: Path) -> None:
    """`--json` prints the report and nothing else; a total is named so."""
    assert ofi("dq", *RUN, "--json", "--no-page", "--total") == 0
    jsonschema.validate(json.loads(ofi.out), schema("dq"))
    assert (data.parent / "artifacts" / "dq_reports" / "dq_total_20251016_01.json").is_file()


def test_dq_takes_the_stored_hours_when_no_run_is_given(ofi: Ofi, data: Path) -> None:
    """The window then is what has files."""
    assert ofi("dq", "--symbols", "BTCUSDT", "--no-page") == 0
    assert "2025-10-16 00:00 to 2025-10-16 02:00 UTC, BTCUSDT" in ofi.out
    shutil.rmtree(data / "spool")
    assert ofi("dq", "--symbols", "BTCUSDT", "--no-page") == 1
    assert "2025-10-16 00:00 to 2025-10-16 02:00 UTC, BTCUSDT" in ofi.out
    assert "no clock records" in ofi.out


def test_dq_without_a_run_judges_whole_minutes_of_the_recording(ofi: Ofi, tmp_path: Path) -> None:
    """Begun and stopped within a minute, a recording is judged by the minutes in between; a later seal is no part of it."""
    start, root = START_MS + 10_000, tmp_path / "data"
    publish(root, replace(MARKET, start_ms=start, hours=1, symbols=("BTCUSDT",)))
    ledger(root, start + 9_000_000, "seal", symbol="BTCUSDT", stream="aggTrade")
    ofi("dq", "--symbols", "BTCUSDT", "--no-page")
    assert "2025-10-16 00:01 to 2025-10-16 01:00 UTC, BTCUSDT" in ofi.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dq",), "expected a dataset, or --start and --end of the run to judge, found no file"),
        (("dq", "--start", "yesterday"), "--start: expected a UTC time such as"),
        (("dq", "--start", "2025-10-16", "--end", "2025-10-15"), "expected a start before the end"),
        (("dq", "--symbols", "btc"), "expected upper-case exchange symbols"),
        (("sql",), "expected the name of a query"),
        (("sql", "no_such_query"), "expected one of absent_ids"),
        (("sql", "SELECT * FROM nothing"), "expected a query over prices"),
        (("sql", "COPY (SELECT 1) TO 'x.csv'"), "found COPY"),
        (("sql", "ATTACH 'x.db'"), "found ATTACH"),
        (("sql", "SELECT * FROM read_csv('/etc/passwd')"), "one that reaches outside"),
        (("sql", "SELECT 1", "--format", "parquet"), "expected --out FILE"),
        (("sql", "SELECT [1] AS a", "--format", "csv"), "found a list or struct"),
        (("sql", "rows", "--param", "start_ms=soon"), "--param start_ms: expected BIGINT, found 'soon'"),
        (("sql", "rows", "--param", "nonsense=1"), "found nonsense"),
        (("sql", "rows", "--param", "nonsense"), "expected NAME=VALUE"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(ofi: Ofi, arguments: tuple[str, ...], says: str) -> None:
    """What was expected and what was found, on stderr."""
    sample = ("--data-dir", str(SAMPLE_DIR)) if len(arguments) > 1 and arguments[0] == "sql" else ()
    assert ofi(*arguments, *sample) == 2
    assert says in ofi.err
    assert len(ofi.err.strip().splitlines()) == 1
    assert ofi.out == ""


def test_dq_that_cannot_run_exits_2(ofi: Ofi, data: Path) -> None:
    """1 would say that a gate failed."""
    (data / "state" / "checkpoint.json").write_text("{", "utf-8")
    assert ofi("dq", *RUN, "--no-page") == 2
    assert "expected a checkpoint" in ofi.err


def test_sql_answers_in_every_format(ofi: Ofi, data: Path) -> None:
    """The same rows as table, CSV, JSON and Parquet."""
    query = "SELECT symbol, count(*) AS n FROM prices WHERE ts_ms >= $since GROUP BY symbol ORDER BY symbol"
    expected = [{"symbol": "BTCUSDT", "n": 14400}, {"symbol": "ETHUSDT", "n": 14400}]
    assert ofi("sql", query, "--param", "since=0", "--format", "csv") == 0
    assert [{**row, "n": int(row["n"])} for row in csv.DictReader(io.StringIO(ofi.out))] == expected
    assert ofi("sql", query, "--param", "since=0", "--format", "json") == 0
    assert json.loads(ofi.out) == expected
    assert ofi("sql", query, "--param", "since=0", "--format", "parquet", "--out", "answer.parquet") == 0
    assert pl.read_parquet(data.parent / "answer.parquet").to_dicts() == expected
    assert ofi("sql", query, "--param", "since=0") == 0
    assert [line.split() for line in ofi.out.splitlines() if "USDT" in line] == [
        ["BTCUSDT", "14400"],
        ["ETHUSDT", "14400"],
    ]


def test_sql_writes_only_where_it_is_told(ofi: Ofi, data: Path) -> None:
    """`--out` is the one file that appears."""
    before = set(data.parent.rglob("*"))
    assert ofi("sql", "SELECT 1 AS a", "--out", "answer.csv") == 0
    assert set(data.parent.rglob("*")) - before == {data.parent / "answer.csv"}
    assert (data.parent / "answer.csv").read_bytes() == b"a\n1\n"


@pytest.mark.parametrize(
    "name", [name for name in queries.names() if name not in {"duplicates_received", "absent_ids"}]
)
def test_every_named_query_runs_without_parameters(ofi: Ofi, data: Path, name: str) -> None:
    """The run then is everything stored."""
    assert ofi("sql", name, "--format", "json", "--set", "SYMBOLS=BTCUSDT") == 0
    assert isinstance(json.loads(ofi.out), list)


def test_sql_list_shows_purpose_and_parameters(ofi: Ofi) -> None:
    """Every file of sql/ is listed."""
    assert ofi("sql", "--list") == 0
    assert all(name in ofi.out for name in queries.names())
    assert ofi("sql", "--list", "--format", "json") == 0
    assert "published_ends" in ofi.out


def test_compact_says_what_it_did(ofi: Ofi, tmp_path: Path) -> None:
    """Merged once, nothing left the second time."""
    publish(tmp_path / "data", Market(hours=2, tps=1, slice_secs=600))
    assert ofi("compact") == 0
    assert ofi.out.startswith("60 slices merged into 10 hours")
    assert ofi("compact", "--json") == 0
    assert json.loads(ofi.out) == {"merged": 0, "slices": 0, "finished": 0, "mixed": 0}
    assert ofi("dq", "--symbols", "BTCUSDT,ETHUSDT", "--no-page") == 0
