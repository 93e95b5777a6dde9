"""The commands `ofi exchange` and `ofi simulate` as processes and in the test's own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.errors import InputError
from ofi_cvd.exchange.faults import KINDS

COMMAND = [sys.executable, "-c", "from ofi_cvd.cli import main; main()"]


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("exchange ready at http://127.0.0.1:")
    return line.split()[3]


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_line_when_ready_and_a_clean_end(number: signal.Signals) -> None:
    arguments = ["exchange", "--port", "0", "--symbols", "BTCUSDT", "--fault", "reset:every=1", "--rate", "2"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=-1, stderr=-1, text=True) as process:
        status = httpx.get(f"{url_of(process)}/status").json()
        process.send_signal(number)
        said, complained = process.communicate(timeout=20)
    assert status["trades"]["BTCUSDT"]["count"] > 0
    assert (process.returncode, said, complained) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM there")
def test_a_taken_port_is_one_sentence_and_exit_one() -> None:
    with subprocess.Popen(
        [*COMMAND, "exchange", "--port", "0", "--symbols", "BTCUSDT"], stdout=-1, stderr=-1, text=True
    ) as first:
        port = url_of(first).rpartition(":")[2]
        second = subprocess.run(
            [*COMMAND, "exchange", "--port", port, "--symbols", "BTCUSDT"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        first.terminate()
        first.communicate(timeout=20)
    assert second.returncode == 1
    assert second.stderr.startswith(f"ofi: expected to bind 127.0.0.1:{port}, found")
    assert second.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--simulate", "--flood", "5"],
        ["--fault", "nonsense"],
        ["--flood", "quick"],
        ["--flood", "100", "--fault", "gap"],
        ["--flood", "100", "--market", "spot"],
        ["--life", "0"],
        ["--rate", "0"],
        ["--replay", "no-such-spool"],
        ["--symbols", "../etc"],
    ],
)
def test_what_cannot_be_served_is_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["exchange", *arguments])
    assert result.exit_code != 0
    assert "expected" in str(result.exception)


def test_every_fault_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text("utf-8")
    assert [name for name in KINDS if f"`{name}" not in text] == []


def test_simulate_writes_a_spool_and_says_what(tmp_path: Path) -> None:
    arguments = ["simulate", "--hours", "0.02", "--symbols", "BTCUSDT", "--seed", "3", "--workers", "1", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "spool")])
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    lines = sum(
        path.read_bytes().count(b"\n") for path in (tmp_path / "spool").rglob("BTCUSDT.*") if path.suffix == ".ndjson"
    )
    assert facts["symbols"] == ["BTCUSDT"]
    assert sum(facts["frames"].values()) > 0
    assert lines in {0, sum(facts["frames"].values())}  # 0: the hours were written sealed


@pytest.mark.parametrize("arguments", [["--hours", "0"], ["--workers", "0"], ["--streams", "kline_1m"]])
def test_simulate_refuses_what_it_cannot_do(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "--out", str(tmp_path), *arguments])
    assert isinstance(result.exception, InputError)
