"""`ofi import hftbacktest`: what it prints and how it exits."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.errors import InputError
from ofi_cvd.spool.layout import list_files

LINES = b"".join(b'1721347200000000%03d {"stream":"btcusdt@trade","data":{"t":%d}}\n' % (n, n) for n in range(200))


def run(*args: str | Path) -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(app, ["import", "hftbacktest", *map(str, args)])
    return result.output, result.exception


def test_the_table_says_what_was_added_and_the_second_time_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(LINES + b'1721347200000000900 {"stream":"btcusdt@kline_1m","data":{}}\ngarbage\n')
    output, error = run(source, "--spool-dir", tmp_path / "spool")
    assert error is None
    for words in ("BTCUSDT", "kline_1m (not asked for)", "no time of receipt", "200 of 202 lines added",
                  "2024-07-19 00:00:00 to 2024-07-19 00:00:00 UTC"):  # fmt: skip
        assert words in output
    output, error = run(source, "--spool-dir", tmp_path / "spool")
    assert error is None
    assert "nothing added: all there already" in output


def test_json_for_scripts(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(LINES)
    output, error = run(source, "--set", f"SPOOL_DIR={tmp_path / 'spool'}", "--json")
    assert error is None
    facts = json.loads(output)
    assert facts["targets"] == [{"symbol": "BTCUSDT", "stream": "trade", "added": 200, "present": 0}]
    assert facts["lines"] == 200
    assert (facts["first_ns"], facts["last_ns"]) == (1_721_347_200_000_000_000, 1_721_347_200_000_000_199)


def test_symbols_and_streams_narrow_it(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(LINES)
    run(source, "--spool-dir", tmp_path / "spool", "--symbols", "ETHUSDT")
    run(source, "--spool-dir", tmp_path / "spool", "--streams", "aggTrade,bookTicker")
    assert list_files(tmp_path / "spool") == []


@pytest.mark.parametrize("data", [b"", b"garbage", gzip.compress(LINES)[:-20]])
def test_a_bad_file_is_wrong_input(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "a.gz"
    source.write_bytes(data)
    _, error = run(source, "--spool-dir", tmp_path / "spool")
    assert isinstance(error, InputError)
    assert error.exit_code == 2
    assert "expected" in str(error)
    assert "found" in str(error)


def test_a_missing_file_is_wrong_input(tmp_path: Path) -> None:
    _, error = run(tmp_path / "nowhere.gz", "--spool-dir", tmp_path / "spool")
    assert isinstance(error, InputError)
    assert "found none" in str(error)


def test_names_in_a_file_are_not_read_as_markup(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b'1721347200000000001 {"stream":"btcusdt@[bold]x[/]","data":{}}\n')
    output, _ = run(source, "--spool-dir", tmp_path / "spool")
    assert "[bold]x[/]" in output
