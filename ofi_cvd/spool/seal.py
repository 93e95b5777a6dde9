"""Seals hours that are over: compress, verify by reading back, swap; no crash loses a line.

See docs/specification/spool.md#sealing.

The steps, and what a reader sees after a crash behind each:

1. A torn last line gets its newline                              -> the plain file
2. Sealed content and a plain file begun anew after it become one plain file, swapped in whole
                                                                  -> before: sealed then plain; after: plain alone,
                                                                     because it begins with the sealed content
3. `.zst.part` is written, read back and made durable             -> plain; parts are never read
4. The part takes the sealed name                                 -> plain, which equals the sealed content
5. The ledger notes the seal                                      -> the same
6. The plain file is deleted                                      -> the sealed file
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ofi_cvd.common.files import exclusive, fsync_folder, fsync_path
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import SpoolError
from ofi_cvd.spool.disk import closed_hours_lock, ends_torn
from ofi_cvd.spool.layout import SpoolFile, list_files
from ofi_cvd.spool.ledger import Ledger
from ofi_cvd.spool.reader import CHUNK, parts, seal_record, sealed_chunks
from ofi_cvd.spool.writer import LATE_NS

CLOSED_MS = 2 * LATE_NS // 1_000_000  # writers let go of an hour after LATE_NS; never seal before twice that
SEAL_WAIT_SECS = 60
GRACE_MS = 600_000  # `ofi seal` waits this long for repairs, which would mean sealing a file twice


@dataclass(frozen=True)
class SealReport:
    """What sealing one logical file did.

    Attributes:
        outcome: `sealed`; `already` (nothing to do); `open` (its hour is not over); `grew` (a line came meanwhile);
            `empty` (a plain file without a byte, which stays).
        lines: lines of the sealed content; 0 unless `sealed`.
        plain_bytes: bytes of the sealed content; 0 unless `sealed`.
        sealed_bytes: bytes of the compressed file; 0 unless `sealed`.
    """

    file: SpoolFile
    outcome: Literal["sealed", "already", "open", "grew", "empty"]
    lines: int = 0
    plain_bytes: int = 0
    sealed_bytes: int = 0


@dataclass(frozen=True)
class _Content:
    """Lines, bytes and SHA-256 of plain bytes."""

    lines: int
    size: int
    sha256: str


def seal_closed_hours(
    root: Path,
    now_ms: int | None = None,
    *,
    grace_ms: int = GRACE_MS,
    symbols: Collection[str] | None = None,
    progress: Callable[[SealReport, int, int], None] | None = None,
) -> list[SealReport]:
    """Seal every plain file of the hours that ended at least `grace_ms` ago; repeating it does nothing twice.

    Args:
        root: the spool.
        now_ms: the time, by default the clock's.
        grace_ms: how long an hour rests before it is sealed, at least a minute.
        symbols: only these, by default all.
        progress: called after each file with its report, its number and the number of files.

    Raises:
        SpoolError: a file cannot be sealed; what was sealed before stays sealed.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    end_ms = now_ms - max(grace_ms, CLOSED_MS)
    files = [
        file
        for file in list_files(root, symbols=symbols, end_ms=end_ms)
        if file.plain is not None and file.hour_ms + HOUR_MS <= end_ms
    ]
    reports = []
    for number, file in enumerate(files, 1):
        reports.append(seal_file(file, root, now_ms=now_ms))
        if progress:
            progress(reports[-1], number, len(files))
    return reports


def seal_file(file: SpoolFile, root: Path, *, now_ms: int | None = None) -> SealReport:
    """Seal one logical file, or finish a seal that a crash interrupted.

    Raises:
        LockedError: another process is sealing.
        SpoolError: the disk refused, or the compressed bytes did not read back as they were; the plain file stays.
    """
    now_ns = time.time_ns() if now_ms is None else now_ms * 1_000_000
    if now_ns // 1_000_000 < file.hour_ms + HOUR_MS + CLOSED_MS:
        return SealReport(file, "open")
    busy = f"sealing {file.name}: another process is sealing in {root}"
    try:
        with exclusive(root / ".seal.lock", busy=busy, wait_s=SEAL_WAIT_SECS):
            return _seal(file.again(), root, now_ns)
    except OSError as error:
        raise SpoolError(f"sealing {file.name} of {file.folder}: {error}") from error


def _seal(file: SpoolFile, root: Path, now_ns: int) -> SealReport:
    if file.plain is None:
        return SealReport(file, "already")
    if not file.plain.stat().st_size:
        return SealReport(file, "empty")
    ledger = Ledger(root)
    _close_torn(file, root, ledger, now_ns)
    _unite(file, root)
    target = file.folder / (file.name + ".zst")
    part = target.with_suffix(".zst.part")
    part.unlink(missing_ok=True)  # never through a link that stands in its place
    try:
        content = _compress(file.plain, part)
        if _measure(sealed_chunks(part)) != content:
            raise SpoolError(f"sealing {file.name}: the compressed file does not read back as it was written")
        fsync_path(part)
        with closed_hours_lock(root):
            if file.plain.stat().st_size != content.size:
                return SealReport(file, "grew")
            sealed_bytes = part.stat().st_size
            part.replace(target)
            fsync_folder(file.folder)
            _note(ledger, file, target, content, now_ns)
            file.plain.unlink()
            fsync_folder(file.folder)
    finally:
        part.unlink(missing_ok=True)
    return SealReport(file.again(), "sealed", content.lines, content.size, sealed_bytes)


def _note(ledger: Ledger, file: SpoolFile, target: Path, content: _Content, now_ns: int) -> None:
    size = target.stat().st_size
    known = seal_record(target, size)
    if known is None or known.get("sha256") != content.sha256:
        ledger.record(
            "seal",
            recv_ns=now_ns,
            symbol=file.symbol,
            stream=file.stream,
            hour_ms=file.hour_ms,
            file=target.name,
            lines=content.lines,
            plain_bytes=content.size,
            sealed_bytes=size,
            sha256=content.sha256,
        )
        ledger.sync()


def _close_torn(file: SpoolFile, root: Path, ledger: Ledger, now_ns: int) -> None:
    """Give a torn last line its newline: whatever is appended to the sealed content later starts a line of its own."""
    assert file.plain is not None  # noqa: S101  # the caller has seen it
    with closed_hours_lock(root):
        if not ends_torn(file.plain):
            return
        with file.plain.open("ab") as plain:
            offset = plain.tell()
            plain.write(b"\n")
            plain.flush()
            os.fsync(plain.fileno())
    ledger.record(
        "torn",
        recv_ns=now_ns,
        symbol=file.symbol,
        stream=file.stream,
        hour_ms=file.hour_ms,
        file=file.name,
        offset=offset,
    )


def _unite(file: SpoolFile, root: Path) -> None:
    """Make the plain file hold the sealed content too, where it was begun anew after the seal."""
    if file.plain is None or len(parts(file)) < 2:
        return
    part = file.plain.with_suffix(".ndjson.part")
    part.unlink(missing_ok=True)
    try:
        with closed_hours_lock(root):
            with part.open("wb") as united:
                for chunk in _all_chunks(file):
                    united.write(chunk)
                united.flush()
                os.fsync(united.fileno())
            part.replace(file.plain)
            fsync_folder(file.folder)
    finally:
        part.unlink(missing_ok=True)


def _all_chunks(file: SpoolFile) -> Iterator[bytes]:
    assert file.plain is not None  # noqa: S101  # both exist, or there is nothing to unite
    assert file.sealed is not None  # noqa: S101
    yield from sealed_chunks(file.sealed)
    yield from _plain_chunks(file.plain)


def _compress(plain: Path, part: Path) -> _Content:
    """Compress the plain file as it is now; return what went in."""
    with pa.CompressedOutputStream(str(part), "zstd") as out:

        def passed() -> Iterator[bytes]:
            for chunk in _plain_chunks(plain):
                out.write(chunk)
                yield chunk

        return _measure(passed())


def _measure(chunks: Iterator[bytes]) -> _Content:
    lines = size = 0
    digest = hashlib.sha256()
    for chunk in chunks:
        lines += chunk.count(b"\n")
        size += len(chunk)
        digest.update(chunk)
    return _Content(lines, size, digest.hexdigest())


def _plain_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
