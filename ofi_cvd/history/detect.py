"""Which format a file is in, by its first bytes; names are compared with it later."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ofi_cvd.binance.archive import find_layout, is_header
from ofi_cvd.errors import InputError
from ofi_cvd.history.inputs import InputFile
from ofi_cvd.history.rows import shown

Format: TypeAlias = Literal["binance-archive", "tardis", "hftbacktest"]
FORMATS: Final[tuple[Format, ...]] = ("binance-archive", "tardis", "hftbacktest")

_CAPTURE: Final = re.compile(rb"[1-9]\d{15}(?:\d{3})? \s*\{")
_TARDIS_HEADER: Final = b"exchange,symbol,timestamp,local_timestamp,"
_SUFFIXES: Final = (".zip", ".csv", ".csv.gz", ".gz", ".txt", ".ndjson", ".jsonl", ".dat")
_LOOKED_AT: Final = 64 * 1024


def detect(path: Path) -> Format:
    """Return the format of a file.

    Raises:
        InputError: the file is missing, empty or damaged, or in no known format.
    """
    file = InputFile(path)
    if file.is_zip():
        return "binance-archive"
    head = next(file.chunks(), b"")[:_LOOKED_AT]
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{path}: expected rows, found an empty file")
    if head.startswith(_TARDIS_HEADER):
        return "tardis"
    if any(_CAPTURE.match(line) for line in lines[:50]):
        return "hftbacktest"
    if find_layout(lines[:50]) is not None or (is_header(lines[0]) and b"trade_id" in lines[0]):
        return "binance-archive"
    raise InputError(
        f"{path}: expected a file of the venue's archive, of Tardis, or lines `<local ns> <json>`, found {shown(lines[0])!r}"
    )


def expand(paths: list[Path]) -> list[Path]:
    """Return the files that paths, folders and patterns stand for, each once, in order of their names.

    Of a folder the files with a usual suffix are taken, of its subfolders too; checksums are not inputs.

    Raises:
        InputError: a path, folder or pattern has no file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            some = sorted(one for one in path.rglob("*") if one.is_file() and one.name.endswith(_SUFFIXES))
        elif path.exists() or not set("*?[") & set(path.name):
            some = [path]
        else:
            some = sorted(one for one in path.parent.glob(path.name) if not one.name.endswith(".CHECKSUM"))
        if not some:
            raise InputError(f"{path}: expected files to import, found none")
        found += [one for one in some if one not in found]
    return found
