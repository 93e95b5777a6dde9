"""`ofi reconcile`: equal, different, not comparable; it changes nothing that is built."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.errors import InputError
from ofi_cvd.history.run import import_files
from ofi_cvd.spool.ledger import read_ledger
from tests.history.archives import AGG_HEADER, agg_rows, write_zip
from tests.history.test_build import agg_frame
from tests.spool_files import write_spool

STEM = "BTCUSDT-aggTrades-2024-01-05"


def run(spool: Path, *more: str) -> tuple[int, list[dict[str, object]], BaseException | None]:
    options = ["reconcile", "--symbols", "BTCUSDT", "--spool-dir", str(spool), "--json", *more]
    result = CliRunner().invoke(app, options)
    return result.exit_code, json.loads(result.output or "[]"), result.exception


def test_equal_but_for_the_edges(tmp_path: Path) -> None:
    rows = agg_rows(7200)
    write_spool(tmp_path / "spool", [agg_frame(row) for row in rows[10:-5]])
    code, found, _ = run(tmp_path / "spool", str(write_zip(tmp_path, STEM, rows, AGG_HEADER)))
    assert code == 0
    assert (found[0]["equal"], found[0]["only_archive"], found[0]["is_equal"]) == (7185, 0, True)
    assert [one["event"] for one in read_ledger(tmp_path / "spool")].count("reconcile") == 1


def test_what_only_one_has_and_what_differs(tmp_path: Path) -> None:
    rows = agg_rows(7200)
    theirs = [row for n, row in enumerate(rows) if n != 3000]
    theirs[500] = theirs[500].replace(",0.", ",7.")
    write_spool(tmp_path / "spool", [agg_frame(row) for n, row in enumerate(rows) if n not in {20, 2000, 2001}])
    import_files([write_zip(tmp_path, STEM, theirs, AGG_HEADER)], tmp_path / "spool")
    code, found, _ = run(tmp_path / "spool")
    assert code == 1
    names = ("only_recorded", "only_archive", "different", "at_edges")
    assert [found[0][name] for name in names] == [1, 2, 1, 1]
    assert found[0]["examples"] == [600, 2100, 2101, 3100]


def test_without_time_in_common_nothing_can_be_said(tmp_path: Path) -> None:
    write_spool(tmp_path / "spool", [agg_frame(row) for row in agg_rows(10)])
    _, _, error = run(tmp_path / "spool")
    assert isinstance(error, InputError)
    assert error.exit_code == 2
