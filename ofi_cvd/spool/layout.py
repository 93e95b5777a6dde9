"""Where spool files are: hours, names, and the logical file behind plain and sealed ones.

See docs/specification/spool.md#files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ofi_cvd.common.times import HOUR_MS, HOUR_NS, day_name, utc
from ofi_cvd.errors import InputError
from ofi_cvd.settings import STREAM_PATTERN, SYMBOL_PATTERN

SNAPSHOT_STREAM = "depthSnapshot"
LEDGER_NAME = "_ledger.ndjson"
PLAIN_SUFFIX = ".ndjson"
SEALED_SUFFIX = ".ndjson.zst"

# What may become a file name: the streams that are recorded, diffs and snapshots of the full book, and context.
_STREAM = re.compile(
    rf"(?:{STREAM_PATTERN.pattern})|depth(?:@(?:0|100|250|500)ms)?|{SNAPSHOT_STREAM}|forceOrder|markPrice@1s"
)
_DEVICE = re.compile(r"CON|PRN|AUX|NUL|(?:COM|LPT)\d")  # Windows opens a device whatever the suffix
_FILE = re.compile(r"([A-Z0-9_]+)\.([A-Za-z0-9@]+)(\.repair)?\.ndjson(\.zst)?")
_LAST_HOUR_MS = (2**63 - 1) // HOUR_NS * HOUR_MS  # recv_ns is an Int64


@dataclass(frozen=True)
class SpoolFile:
    """One logical spool file: the plain file, the sealed one, or both side by side.

    Attributes:
        hour_ms: the start of the UTC hour of receipt.
        repair: whether it holds trades fetched later over REST.
        plain: the open file, None if there is none.
        sealed: the compressed file, None if there is none.
    """

    symbol: str
    stream: str
    hour_ms: int
    repair: bool
    plain: Path | None
    sealed: Path | None

    @property
    def name(self) -> str:
        """The name of the plain file; unique within its hour."""
        return f"{self.symbol}.{self.stream}{'.repair' if self.repair else ''}{PLAIN_SUFFIX}"

    @property
    def folder(self) -> Path:
        """The folder of the hour."""
        path = self.plain or self.sealed
        assert path is not None  # noqa: S101  # a file is listed because one of the two exists
        return path.parent

    def again(self) -> SpoolFile:
        """Return the same logical file as it stands on the disk now (a seal may have replaced the plain file)."""
        plain = self.folder / self.name
        sealed = self.folder / (self.name + ".zst")
        return replace(
            self, plain=plain if is_plain_file(plain) else None, sealed=sealed if is_plain_file(sealed) else None
        )


def hour_of_ns(recv_ns: int) -> int:
    """Return the start in ms of the UTC hour that an instant in ns belongs to."""
    return recv_ns // HOUR_NS * HOUR_MS


def hour_dir(root: Path, hour_ms: int) -> Path:
    """Return the folder of an hour, `date=YYYY-MM-DD/hour=HH`.

    Raises:
        InputError: the hour is not one that a 64-bit nanosecond clock can show.
    """
    if not 0 <= hour_ms <= _LAST_HOUR_MS:
        raise InputError(f"expected a time between 1970 and 2262, found {hour_ms} ms")
    return root / f"date={day_name(hour_ms)}" / f"hour={utc(hour_ms):%H}"


def is_stream(stream: str) -> bool:
    """Return whether `stream` is a name the spool has files for."""
    return _STREAM.fullmatch(stream) is not None


def is_symbol(symbol: str) -> bool:
    """Return whether `symbol` may become part of a path, on Windows too."""
    return SYMBOL_PATTERN.fullmatch(symbol) is not None and _DEVICE.fullmatch(symbol) is None


def stream_path(root: Path, hour_ms: int, symbol: str, stream: str, *, repair: bool = False) -> Path:
    """Return the path of the plain file of one hour, symbol and stream.

    Raises:
        InputError: a symbol or stream that is not a plain known name; nothing from the wire becomes a path unseen.
    """
    if not is_symbol(symbol):
        raise InputError(f"expected an upper-case exchange symbol such as BTCUSDT, found {symbol[:80]!r}")
    if not is_stream(stream):
        raise InputError(f"expected a stream such as aggTrade or depth10@100ms, found {stream[:80]!r}")
    return hour_dir(root, hour_ms) / f"{symbol}.{stream}{'.repair' if repair else ''}{PLAIN_SUFFIX}"


def find_file(root: Path, hour_ms: int, symbol: str, stream: str, *, repair: bool = False) -> SpoolFile | None:
    """Return one logical file as it stands on the disk; None if there is neither a plain nor a sealed one.

    Raises:
        InputError: the symbol or stream is not a plain known name.
    """
    path = stream_path(root, hour_ms, symbol, stream, repair=repair)
    file = SpoolFile(symbol, stream, hour_ms, repair, path, None).again()
    return None if file.plain is None and file.sealed is None else file


def ledger_path(root: Path, hour_ms: int) -> Path:
    """Return the path of an hour's ledger."""
    return hour_dir(root, hour_ms) / LEDGER_NAME


def no_spool(root: Path) -> str:
    """Return the sentence for a path that is no spool."""
    found = "nothing recorded" if root.is_dir() else "a file" if root.exists() else "no such folder"
    return f"{root}: expected a spool (date=.../hour=.../SYMBOL.stream.ndjson), found {found}; `ofi collect` makes one"


def is_plain_file(path: Path) -> bool:
    """Return whether the path is a file and no symbolic link: a spool from elsewhere must not lead out of itself."""
    return path.is_file() and not path.is_symlink()


def list_files(
    root: Path,
    *,
    symbols: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[SpoolFile]:
    """Return the logical files of the hours that overlap `[start_ms, end_ms)`, by (hour, symbol, stream, repair).

    Files and folders the spool does not know, unfinished seals among them, are ignored.
    """
    found: dict[tuple[int, str, str, bool], dict[bool, Path]] = {}
    for hour_ms, folder in list_hours(root, start_ms=start_ms, end_ms=end_ms):
        for path in folder.iterdir():
            match = _FILE.fullmatch(path.name)
            if not match or not is_symbol(match[1]) or not is_stream(match[2]) or not is_plain_file(path):
                continue
            if (symbols is None or match[1] in symbols) and (streams is None or match[2] in streams):
                key = (hour_ms, match[1], match[2], match[3] is not None)
                found.setdefault(key, {})[match[4] is not None] = path
    return [
        SpoolFile(symbol, stream, hour_ms, repair, paths.get(False), paths.get(True))
        for (hour_ms, symbol, stream, repair), paths in sorted(found.items())
    ]


def list_hours(root: Path, *, start_ms: int | None = None, end_ms: int | None = None) -> list[tuple[int, Path]]:
    """Return `(hour_ms, folder)` of the hours that overlap `[start_ms, end_ms)`, oldest first."""
    hours = []
    for folder in _folders(root):
        try:
            text = f"{folder.parent.name.removeprefix('date=')}T{folder.name.removeprefix('hour=')}+0000"
            when = datetime.strptime(text, "%Y-%m-%dT%H%z")
        except ValueError:
            continue
        hour_ms = int(when.timestamp()) * 1000
        if hour_ms >= 0 and hour_dir(root, hour_ms) == folder:  # not `hour=7`, which strptime would take
            hours.append((hour_ms, folder))
    return sorted(
        (hour_ms, folder)
        for hour_ms, folder in hours
        if (start_ms is None or hour_ms + HOUR_MS > start_ms) and (end_ms is None or hour_ms < end_ms)
    )


def _folders(root: Path) -> Iterator[Path]:
    return (folder for folder in root.glob("date=*/hour=*") if folder.is_dir())
