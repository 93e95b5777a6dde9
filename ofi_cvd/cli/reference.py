"""The pages that are written from the code: data dictionary, settings, command help; `python -m ofi_cvd.cli.reference`.

A test fails where a page differs from what this module would write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from ofi_cvd.cli import app
from ofi_cvd.schemas import KINDS, TABLES, Column
from ofi_cvd.settings import Settings, meanings
from ofi_cvd.settings.accepts import accepts

_WRITTEN: Final = "<!-- Written by `python -m ofi_cvd.cli.reference` from {source}; edit that. -->"
_WIDTH: Final = 100


def pages(root: Path) -> dict[Path, str]:
    """Return the text of every generated page below the checkout `root`."""
    return {
        root / "docs" / "cli.md": command_page(),
        root / "docs" / "data-dictionary.md": data_dictionary(),
        root / "docs" / "settings.md": settings_page(),
    }


def data_dictionary() -> str:
    """Return the page about the columns of the five tables."""
    parts = [
        _WRITTEN.format(source="ofi_cvd/schemas.py"),
        "# Data dictionary",
        (
            "Five tables, one file per symbol and slice:\n"
            "`data/ofi_cvd/date=YYYY-MM-DD/symbol=<SYMBOL>/kind=<table>/part-<slice start>.parquet`. Contract columns come "
            "first, extras after them. Null means *not known*; the last column says when. A column without an entry there is "
            "never null."
        ),
        (
            "Every file carries `spec_version`, `package_version`, `params_fingerprint`, `market` and `slice_secs` as Parquet "
            "metadata. `date` and `kind` are part of the path only."
        ),
    ]
    for kind in KINDS:
        table = TABLES[kind]
        parts.append(f"## {kind}")
        parts.append(
            f"{table.grain[0].upper()}{table.grain[1:]}; sorted by {', '.join(f'`{key}`' for key in table.order)}."
        )
        rows = [_column(column) for column in table.contract]
        rows += [_column(column, "extra") for column in table.extras]
        parts.append(_markdown(("column", "type", "unit", "meaning", "null when"), rows))
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Return the page about every setting: name, default, what it accepts, meaning."""
    parts = [
        _WRITTEN.format(source="ofi_cvd/settings/model.py"),
        "# Settings",
        (
            "A command-line option wins over the environment (`OFI_<NAME>`, then `<NAME>`), that over `ofi.toml`, that over the "
            "default. Options without a name of their own are given as `--set NAME=VALUE`. An unknown name, a wrong type or a "
            "value out of range is an error that says what is accepted. `ofi config` shows every value and where it came from."
        ),
        'In `ofi.toml`: `SYMBOLS = ["BTCUSDT", "ETHUSDT"]`, `HALF_LIFE_SEC = 300`, `FEE_TIER = "BTCUSDT=TL,*=TM"`.',
    ]
    for group, named in meanings().items():
        rows = [
            (f"`{name.upper()}`", _default(name), accepts(Settings.model_fields[name]), meaning)
            for name, meaning in named.items()
        ]
        parts += [f"## {group}", _markdown(("name", "default", "accepts", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def command_page() -> str:
    """Return the page with the help of every command, the same on every terminal."""
    parts = [
        _WRITTEN.format(source="ofi_cvd/cli"),
        "# Commands",
        "Exit status, output and the precedence of settings: [rules for commands](specification/commands.md).",
    ]
    for name, text in _helps("ofi", get_command(app)):
        parts += [f"## {name}", f"```text\n{text.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _helps(name: str, command: TyperGroup | Any) -> list[tuple[str, str]]:
    context = typer.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
    inner = sorted(command.commands.items()) if isinstance(command, TyperGroup) else []
    return [(name, command.get_help(context)), *(one for sub, part in inner for one in _helps(f"{name} {sub}", part))]


def main() -> None:
    """Write every page of the checkout that this module stands in."""
    root = Path(__file__).resolve().parents[2]
    for path, text in pages(root).items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            sys.stdout.write(f"wrote {path.relative_to(root)}\n")


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path):
        return f"`{value.as_posix()}`"
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return f"`{text}`" if text else "empty"


def _column(column: Column, mark: str = "") -> tuple[str, ...]:
    meaning = f"{column.meaning} ({mark})" if mark else column.meaning
    return f"`{column.name}`", str(column.dtype), column.unit, meaning, column.null


def _markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
