"""Every command as a user meets it: help, examples, exit status, one sentence on stderr, plain ASCII where asked."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from ofi_cvd.cli import app, main
from ofi_cvd.dataset.sample import SAMPLE_DIR

Command = tuple[str, ...]
ROOT = Path(__file__).parents[2]


def commands() -> dict[Command, Any]:
    """Every command by its words, `("import", "hftbacktest")` included."""
    found: dict[Command, Any] = {}
    todo: list[tuple[Command, Any]] = [((), get_command(app))]
    while todo:
        words, command = todo.pop()
        if isinstance(command, TyperGroup):
            todo += [((*words, name), one) for name, one in command.commands.items()]
        else:
            found[words] = command
    return found


COMMANDS = commands()


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own; its output is not a terminal."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OFI_")}
    return subprocess.run(
        [sys.executable, "-m", "ofi_cvd", *arguments],
        capture_output=True, encoding="utf-8", timeout=120, check=False, cwd=cwd,
        env=plain | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip


@pytest.fixture
def ofi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process; returns (exit status, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ofi", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return call


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_one_line_and_an_example_that_parses(words: Command) -> None:
    """The first paragraph says what it does; the example is read by the very parser it is an example for."""
    command = COMMANDS[words]
    summary, _, rest = (command.help or "").partition("\n\n")
    assert summary.endswith(".")
    example = re.search(r"^Example: ofi (.+)$", rest, re.MULTILINE)
    assert example, f"ofi {' '.join(words)}: expected a line `Example: ofi ...`"
    arguments = shlex.split(example[1])
    assert tuple(arguments[: len(words)]) == words
    context = command.make_context(" ".join(words), arguments[len(words) :])
    assert context.args == []  # nothing is left over


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is(words: Command) -> None:
    silent = [
        one.name for one in COMMANDS[words].params if one.param_type_name == "option" and not getattr(one, "help", None)
    ]
    assert silent == []


def test_help_is_quick() -> None:
    """No data library is loaded for it."""
    heavy = "polars", "duckdb", "plotly", "pyarrow", "numpy", "websockets", "httpx", "scipy", "pandas"
    code = f"import sys, ofi_cvd.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["build"], "ofi: expected aggTrade or depth10@100ms of BTCUSDT"),
        (["build", "--start", "yesterday"], "ofi: --start: expected a UTC time"),
        (["build", "--slice", "7m"], "ofi: --slice: expected"),
        (["build", "--set", "WIN_SECS"], "ofi: --set: expected NAME=VALUE, found 'WIN_SECS'"),
        (["config", "--set", "WIN_SECS=soon"], "ofi: setting WIN_SECS (from option): expected"),
        (["config", "--set", "NO_SUCH=1"], "ofi: setting NO_SUCH (from option): expected a setting"),
        (["simulate", "--hours", "-1"], "ofi: --hours: expected a number above 0"),
        (["import", "hftbacktest", "no-such-file.gz"], "ofi: expected a capture file, found none at no-such-file.gz"),
        (["sql"], "ofi: expected the name of a query"),
        (["sql", "SELECT nonsense FROM prices", "--data-dir", str(SAMPLE_DIR)], "ofi: expected a query over"),
        (["dq"], "ofi: "),
        (["collect", "--endpoint", "ftp://example"], "ofi: setting ENDPOINT (from option): expected binance"),
        (["demo", "--hours", "0"], "ofi: --hours: expected a number above 0"),
        (["exchange", "--fault", "earthquake"], "ofi: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_sentence_and_exit_two(ofi: Any, arguments: list[str], sentence: str) -> None:
    status, out, err = ofi(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["no-such-command"], ["build", "--no-such-option"], ["build", "--workers", "0"]])
def test_wrong_usage_exits_two(ofi: Any, arguments: list[str]) -> None:
    status, out, err = ofi(*arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


def test_a_failed_run_exits_one(ofi: Any, tmp_path: Path) -> None:
    """A checkpoint that cannot be read is not the caller's input: the run fails."""
    (tmp_path / "data" / "state").mkdir(parents=True)
    (tmp_path / "data" / "state" / "checkpoint.json").write_text("{", "utf-8")
    status, out, err = ofi("status")
    assert (status, out) == (1, "")
    assert err.startswith("ofi: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["config"], ["simulate", "--hours", "0.01", "--symbols", "BTCUSDT"]])
def test_json_parses(ofi: Any, arguments: list[str]) -> None:
    status, out, err = ofi(*arguments, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)


def test_config_says_where_each_value_came_from(ofi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the environment, that over the file, that over the default."""
    (tmp_path / "ofi.toml").write_text("WIN_SECS = 200\nHALF_LIFE_SEC = 200\nVOL_SPLIT = 0.2\n", "utf-8")
    monkeypatch.setenv("OFI_WIN_SECS", "300")
    monkeypatch.setenv("HALF_LIFE_SEC", "300")
    _, out, _ = ofi("config", "--set", "WIN_SECS=400", "--json")
    settings = json.loads(out)["settings"]
    shown = {name: tuple(settings[name].values()) for name in ("WIN_SECS", "HALF_LIFE_SEC", "VOL_SPLIT", "LEVELS")}
    assert shown == {
        "WIN_SECS": (400, "option"),
        "HALF_LIFE_SEC": (300.0, "environment"),
        "VOL_SPLIT": (0.2, "ofi.toml"),
        "LEVELS": (5, "default"),
    }


def test_config_and_build_say_that_a_limit_silences_anomalies(ofi: Any) -> None:
    told = "note: WINSOR_LIMIT 5 is below ANOMALY_Z 6: no z can reach it"
    ofi("simulate", "--hours", "0.01", "--symbols", "BTCUSDT")
    assert told in ofi("config", "--set", "WINSOR_LIMIT=5")[1]
    assert told[6:] in json.loads(ofi("config", "--set", "WINSOR_LIMIT=5", "--json")[1])["notes"][0]
    assert json.loads(ofi("config", "--json")[1])["notes"] == []
    status, _, err = ofi("build", "--symbols", "BTCUSDT", "--workers", "1", "--set", "WINSOR_LIMIT=5")
    assert (status, err.startswith(told)) == (0, True)


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["config"], ["sql", "--list"]], ids=" ".join)
def test_output_is_ascii_where_the_terminal_has_no_more(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path, PYTHONIOENCODING="ascii", NO_COLOR="1", COLUMNS="100")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert "?" not in done.stdout or arguments[0] in {"sql", "build"}  # questions and help have their own


def test_status_fits_eighty_columns(ofi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times stay whole, on one line a symbol."""
    monkeypatch.setenv("COLUMNS", "80")
    ofi("simulate", "--hours", "0.01", "--symbols", "BTCUSDT,ETHUSDT")
    ofi("build", "--symbols", "BTCUSDT,ETHUSDT", "--workers", "1")
    status, out, _ = ofi("status", "--symbols", "BTCUSDT,ETHUSDT,SOLUSDT")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"BTCUSDT .* 2026-01-05 00:00 .* 2026-01-05 \d\d:\d\d", out)
    assert out.splitlines()[-1] == "SOLUSDT: nothing recorded"


def test_the_module_is_a_door_too(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ofi-cvd ")
