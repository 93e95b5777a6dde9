"""Brings captures of lines `<local ns or us> <json>` into the spool, as hftbacktest's collector writes them.

See docs/specification/spool.md#importing.

Each message goes to its own symbol, stream and hour of local receipt, its text verbatim behind the spliced keys.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from ofi_cvd.binance.wire import SNAPSHOT_ID_KEY, stream_name
from ofi_cvd.errors import InputError, SpoolError
from ofi_cvd.history.capture import CaptureLines
from ofi_cvd.history.merge import Merger
from ofi_cvd.settings import STREAM_PATTERN
from ofi_cvd.spool.layout import SNAPSHOT_STREAM, is_stream, is_symbol
from ofi_cvd.spool.line import splice, wrap
from ofi_cvd.spool.writer import SpoolWriter

CONN = "import"
_TIME = re.compile(rb"[1-9]\d{15}(?:\d{3})?")  # us or ns since 2001
_LAST_NS = 2**63 - 1
_MOST_NAMES = 1000  # a hostile file may name a stream a line

Progress = Callable[[CaptureLines], None]


@dataclass
class ImportReport:
    """What an import did; every line of every file is counted exactly once.

    Attributes:
        lines: lines read.
        added: lines added, by (symbol, stream).
        present: lines that were in the spool already, by (symbol, stream).
        skipped: messages of streams or symbols nobody asked for, by name.
        rejected: lines that are no message, by reason.
        first_ns: the earliest receipt among the lines added or present; None if there are none.
        last_ns: the latest.
        faults: a sentence for each file that could not be read to its end or held no message.
    """

    lines: int = 0
    added: Counter[tuple[str, str]] = field(default_factory=Counter)
    present: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    first_ns: int | None = None
    last_ns: int | None = None
    faults: list[str] = field(default_factory=list)


class _Message(msgspec.Struct):
    """Of a message only what routes it; the rest is checked to be JSON and left alone."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    snapshot_id: int | None = msgspec.field(name=SNAPSHOT_ID_KEY, default=None)
    recv_ns: msgspec.Raw = msgspec.Raw(b"")
    conn: msgspec.Raw = msgspec.Raw(b"")


_DECODER = msgspec.json.Decoder(_Message)


def import_hftbacktest(
    files: Sequence[Path],
    spool_dir: Path,
    *,
    streams: Collection[str] | None = None,
    symbols: Collection[str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Add the messages of captures to the spool; what is there already is not added again.

    A file that breaks off (a truncated gzip) gives its whole lines and a sentence in `faults`; the other files are
    read all the same. A killed import is completed by repeating it.

    Args:
        files: the captures, plain or gzip.
        spool_dir: the spool.
        streams: the streams to take, by default every stream that a recorder may record.
        symbols: the symbols to take, by default all.
        progress: called now and then with the file being read.

    Raises:
        InputError: a file does not exist, or `streams` names one the spool has no files for; nothing was imported.
        SpoolError: the disk refused or a sealed file is damaged; what was imported stays.
    """
    for stream in streams or ():
        if not is_stream(stream):
            raise InputError(f"expected streams such as aggTrade or depth10@100ms, found {stream!r}")
    captures = [CaptureLines(path) for path in files]
    report = ImportReport()
    writer = SpoolWriter(spool_dir)
    try:
        for path, capture in zip(files, captures, strict=True):
            source = _Source(report, Merger(spool_dir, writer), streams, symbols)
            source.read(path, capture, progress)
        writer.close()
    except OSError as error:
        raise SpoolError(f"importing into {spool_dir}: {error}; repeat the import to complete it") from error
    finally:
        writer.abandon()
    return report


class _Source:
    """One capture on its way into the spool."""

    def __init__(
        self,
        report: ImportReport,
        merger: Merger,
        streams: Collection[str] | None,
        symbols: Collection[str] | None,
    ) -> None:
        self._report = report
        self._merger = merger
        self._streams = streams
        self._symbols = symbols
        self._routes: dict[str, tuple[str, str] | None] = {}
        self._seen: set[str] = set()
        self._taken = 0

    def read(self, path: Path, capture: CaptureLines, progress: Progress | None) -> None:
        report = self._report
        first, faults = report.lines, len(report.faults)
        with tempfile.SpooledTemporaryFile(max_size=16 * 1024 * 1024) as snapshots:
            try:
                for line in capture:
                    report.lines += 1
                    self._take(line, snapshots)
                    if progress and not report.lines % 8192:
                        progress(capture)
            except InputError as error:
                taken = f"; the {report.lines - first:,} whole lines before it were read"
                report.faults.append(f"{error}{taken if report.lines > first else ''}")
            self._take_snapshots(snapshots)
        if progress:
            progress(capture)
        if not self._taken and len(report.faults) == faults:
            found = f"found no message in {report.lines - first:,} lines"
            report.faults.append(f"expected lines `<local ns or us> <json>` in {path}, {found}")

    def _take(self, line: bytes | None, snapshots: IO[bytes]) -> None:
        if line is None:
            self._report.rejected["line too long"] += 1
            return
        digits, _, text = line.partition(b" ")
        recv_ns = _nanoseconds(digits)
        text = text.strip()
        if recv_ns is None:
            self._report.rejected["no time of receipt"] += 1
            return
        try:
            message = _DECODER.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._report.rejected["not JSON, or not a message"] += 1
            return
        if bytes(message.recv_ns) or bytes(message.conn):
            self._report.rejected["keys of the spool's own"] += 1
        elif message.stream is None and message.snapshot_id is not None:
            snapshots.write(b"%d %b\n" % (recv_ns, text))
            self._taken += 1
        elif message.stream is None or bytes(message.data)[:1] != b"{":
            self._report.rejected["no stream name or no data"] += 1
        else:
            self._route(message.stream, recv_ns, text)

    def _route(self, name: str, recv_ns: int, text: bytes) -> None:
        try:
            target = self._routes[name]
        except KeyError:
            target = self._resolve(name)
        if target is not None:
            self._add(target, recv_ns, splice(recv_ns, CONN, text))
            return
        symbol, at, stream = name.partition("@")
        if at and not _is_wire_symbol(symbol):
            self._report.rejected["symbol that cannot be a file name"] += 1
            return
        self._taken += 1
        wanted = self._symbols is None or symbol.upper() in self._symbols
        label = _shown(stream if at else name) if wanted else symbol.upper()
        known = label in self._report.skipped or len(self._report.skipped) < _MOST_NAMES
        self._report.skipped[label if known else "(others)"] += 1

    def _resolve(self, name: str) -> tuple[str, str] | None:
        symbol, _, stream = name.partition("@")
        target = None
        if _is_wire_symbol(symbol):
            self._seen.add(symbol.upper())
            wanted = STREAM_PATTERN.fullmatch(stream) if self._streams is None else stream in self._streams
            if wanted and (self._symbols is None or symbol.upper() in self._symbols):
                target = (symbol.upper(), stream)
        if len(self._routes) < _MOST_NAMES:
            self._routes[name] = target
        return target

    def _take_snapshots(self, snapshots: IO[bytes]) -> None:
        """Give the REST snapshots, which name no symbol, to the one symbol of the file's other lines."""
        symbol = next(iter(self._seen)) if len(self._seen) == 1 else None
        snapshots.seek(0)
        for line in snapshots:
            digits, _, text = line.rstrip(b"\n").partition(b" ")
            if symbol is None:
                self._report.rejected["snapshot of an unknown symbol"] += 1
            elif self._symbols is not None and symbol not in self._symbols:
                self._report.skipped[symbol] += 1
            else:
                recv_ns = int(digits)
                wire_name = stream_name(symbol, SNAPSHOT_STREAM)
                self._add((symbol, SNAPSHOT_STREAM), recv_ns, wrap(recv_ns, CONN, wire_name, text))

    def _add(self, target: tuple[str, str], recv_ns: int, line: bytes) -> None:
        report = self._report
        counter = report.added if self._merger.add(*target, recv_ns, line) else report.present
        counter[target] += 1
        self._taken += 1
        report.first_ns = recv_ns if report.first_ns is None else min(report.first_ns, recv_ns)
        report.last_ns = recv_ns if report.last_ns is None else max(report.last_ns, recv_ns)


def _shown(name: str) -> str:
    """Return a name from a file as a person may safely see it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:60])


def _nanoseconds(digits: bytes) -> int | None:
    if not _TIME.fullmatch(digits):
        return None
    recv_ns = int(digits) * (1000 if len(digits) == 16 else 1)
    return recv_ns if recv_ns <= _LAST_NS else None


def _is_wire_symbol(symbol: str) -> bool:
    return symbol.isascii() and symbol == symbol.lower() and is_symbol(symbol.upper())
