"""Which files make up the dataset at this moment: names of parts, and the rule that readers and compaction share.

    date=YYYY-MM-DD/symbol=S/kind=K/part-20251016T130500Z.parquet   one slice, or a whole hour once compacted
    date=YYYY-MM-DD/symbol=S/kind=K/hour-20251016T130000Z.parquet   a merged hour that is about to replace its slices

Rule: where an `hour-` file stands, it is that hour, and the hour's `part-` files are not read. The file appears by one
rename, so it is also the mark that the hour is merged; whoever comes next may finish the work (`publish.compact`).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, get_args

import polars as pl

from ofi_cvd.common.times import HOUR_MS, day_name, hour_of, parse_stamp, stamp
from ofi_cvd.errors import InputError, RunError
from ofi_cvd.schemas import KINDS, Kind

_NAME: Final = re.compile(r"(part|hour)-(\d{8}T\d{6}Z)\.parquet")
_UNSETTLED_NS: Final = 20_000_000  # coarser than any file system's clock of folders
_LISTINGS: Final = 500


@dataclass(frozen=True, order=True)
class Part:
    """One file to read, with what tells it from a later file of the same name.

    Attributes:
        start_ms: start of the slice or hour, from the name.
        merged: whether it is an `hour-` file.
    """

    path: Path
    kind: Kind
    symbol: str
    start_ms: int
    merged: bool
    size: int
    mtime_ns: int
    inode: int


def part_name(start_ms: int) -> str:
    """Return the file name of a slice.

    Example:
        >>> part_name(1760619900000)
        'part-20251016T130500Z.parquet'
    """
    return f"part-{stamp(start_ms)}.parquet"


def hour_name(start_ms: int) -> str:
    """Return the name a merged hour has until its slices are gone.

    Example:
        >>> hour_name(1760619600000)
        'hour-20251016T130000Z.parquet'
    """
    return f"hour-{stamp(start_ms)}.parquet"


@lru_cache(maxsize=65_536)  # readers list the same names again and again
def start_of(name: str) -> int | None:
    """Return the start in ms that a file name states; None if it is no part of the dataset.

    Example:
        >>> start_of("part-20251016T130500Z.parquet"), start_of("README.md")
        (1760619900000, None)
    """
    match = _NAME.fullmatch(name)
    return None if match is None else parse_stamp(match[2])


def folder_of(data_dir: Path, symbol: str, kind: Kind, start_ms: int) -> Path:
    """Return the folder of a part."""
    return data_dir / f"date={day_name(start_ms)}" / f"symbol={symbol}" / f"kind={kind}"


def current_parts(
    data_dir: Path,
    *,
    kinds: Iterable[Kind] = KINDS,
    symbols: Collection[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[Part]:
    """Return the parts that make up the dataset now, by path; hours outside `[start_ms, end_ms)` are left out.

    Every row of the dataset is in exactly one of them, also while hours are being merged.

    Raises:
        InputError: a `part-*.parquet` whose name is no time.
        RunError: a folder changed at every attempt to list it.
    """
    found: list[Part] = []
    wanted = set(kinds)
    for folder, symbol, kind in kind_folders(data_dir, start_ms=start_ms, end_ms=end_ms):
        if kind in wanted and (symbols is None or symbol in symbols):
            found += _settled(folder, symbol, kind)
    return sorted(
        part
        for part in found
        if (start_ms is None or hour_of(part.start_ms) + HOUR_MS > start_ms)
        and (end_ms is None or part.start_ms < end_ms)
    )


def parameters_of(data_dir: Path, *, symbols: Collection[str] | None = None) -> dict[str, object]:
    """Return the parameters a dataset was built with, by setting name (`{"WIN_SECS": 300, ...}`), from its parts.

    Empty for a dataset without parts, or of a version that did not write them. The first and the last part of each symbol
    are asked: `ofi build` lets no others stand between them.

    Raises:
        InputError: the parts disagree, or one cannot be read.

    Example:
        >>> parameters_of(Path("no/such/folder"))
        {}
    """
    texts = {facts["parameters"] for facts in sample_metadata(data_dir, symbols=symbols) if facts.get("parameters")}
    if len(texts) > 1:
        raise InputError(f"{data_dir}: expected parts of one set of parameters, found {len(texts)}; use --rebuild")
    try:
        found: object = json.loads(texts.pop()) if texts else {}
    except ValueError as error:
        raise InputError(f"{data_dir}: expected parameters as JSON in the parts, found {error}") from None
    return found if isinstance(found, dict) else {}


def sample_metadata(
    data_dir: Path, *, symbols: Collection[str] | None = None, skip_damaged: bool = False
) -> list[dict[str, str]]:
    """Return the key-value metadata of the first and the last part of each symbol.

    Raises:
        InputError: a part cannot be read, and `skip_damaged` was not asked for.
    """
    ends: dict[str, list[Part]] = {}
    for part in sorted(current_parts(data_dir, symbols=symbols), key=lambda part: (part.symbol, part.start_ms)):
        ends.setdefault(part.symbol, [part, part])[1] = part
    found = []
    for path in sorted({part.path for pair in ends.values() for part in pair}):
        try:
            found.append(pl.read_parquet_metadata(path))
        except FileNotFoundError:  # merged or replaced since it was listed
            continue
        except (OSError, pl.exceptions.PolarsError) as error:
            if skip_damaged:
                continue
            raise InputError(f"{path}: expected a part of a dataset, found {error}") from None
    return found


def kind_folders(
    data_dir: Path, *, start_ms: int | None = None, end_ms: int | None = None
) -> Iterator[tuple[Path, str, Kind]]:
    """Yield every `(folder, symbol, kind)` of the dataset whose day overlaps `[start_ms, end_ms)`, in path order."""
    for day in _children(data_dir, "date="):
        opens = _day_ms(day.name.removeprefix("date="))
        if opens is None or (start_ms is not None and opens + 24 * HOUR_MS <= start_ms):
            continue
        if end_ms is not None and opens >= end_ms:
            continue
        for owner in _children(day, "symbol="):
            for folder in _children(owner, "kind="):
                name = folder.name.removeprefix("kind=")
                for kind in get_args(Kind):
                    if kind == name:
                        yield folder, owner.name.removeprefix("symbol="), kind


def _settled(folder: Path, symbol: str, kind: Kind) -> list[Part]:
    """List one folder; again while it changes, for a listing made during a rename may miss both names."""
    for _ in range(_LISTINGS):
        try:
            before = folder.stat().st_mtime_ns
            parts = _listing(folder, symbol, kind)
            after = folder.stat().st_mtime_ns
        except FileNotFoundError:
            if not folder.is_dir():
                return []
            continue
        if before == after and abs(time.time_ns() - after) >= _UNSETTLED_NS:
            return parts
        time.sleep(_UNSETTLED_NS / 1e9)
    raise RunError(f"{folder}: expected a folder that can be listed, found it changing {_LISTINGS} times in a row")


def _listing(folder: Path, symbol: str, kind: Kind) -> list[Part]:
    slices: list[Part] = []
    hours: list[Part] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            start_ms = start_of(entry.name)
            if start_ms is None:
                if entry.name.startswith("part-") and entry.name.endswith(".parquet"):
                    raise InputError(f"{entry.path}: expected a name such as part-20251016T130500Z.parquet")
                continue
            facts = entry.stat()
            merged = entry.name.startswith("hour-")
            part = Part(
                folder / entry.name, kind, symbol, start_ms, merged, facts.st_size, facts.st_mtime_ns, facts.st_ino
            )
            (hours if merged else slices).append(part)
    taken = {part.start_ms for part in hours}
    return hours + [part for part in slices if hour_of(part.start_ms) not in taken]


def _children(folder: Path, prefix: str) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.name.startswith(prefix))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _day_ms(day: str) -> int | None:
    try:
        return int(datetime.strptime(day + "+0000", "%Y-%m-%d%z").timestamp()) * 1000
    except ValueError:
        return None
