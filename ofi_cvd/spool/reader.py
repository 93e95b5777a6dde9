"""Reads logical spool files: every line once, plain or sealed, from any offset (SPEC section 2).

The bytes of a logical file only ever grow at the end: sealing, merging and late repairs keep every offset valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ofi_cvd.errors import SpoolError
from ofi_cvd.spool.hours import SpoolFile
from ofi_cvd.spool.ledger import read_ledger_file

CHUNK = 1024 * 1024


def parts(file: SpoolFile) -> list[Path]:
    """Return the physical files that together hold every line of a logical file once, in order.

    Plain and sealed stand side by side after a crash between a seal's rename and its delete (then the plain file begins
    with the sealed content and stands for both), or when the plain file was begun anew after the seal (then both count).

    Raises:
        SpoolError: the sealed file cannot be read.
    """
    if file.plain is None or file.sealed is None:
        return [path for path in (file.sealed, file.plain) if path is not None]
    return [file.plain] if begins_with(file.plain, file.sealed) else [file.sealed, file.plain]


def plain_size(file: SpoolFile) -> int:
    """Return the number of plain bytes in a logical file; cheap for sealed files that the ledger knows.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    return sum(_sealed_size(file, path) if path == file.sealed else path.stat().st_size for path in parts(file))


def read_bytes_from(file: SpoolFile, offset: int) -> Iterator[bytes]:
    """Yield the plain bytes of a logical file from `offset` on, in chunks of any size; nothing if it is shorter.

    A seal that takes the plain file away meanwhile does not disturb the reading.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    position = 0  # of the next byte to yield, once it has reached offset
    try:
        for chunk in _chunks(file, offset):
            yield chunk
            position += len(chunk)
    except FileNotFoundError:
        yield from _chunks(file.again(), offset + position)


def read_lines(file: SpoolFile, offset: int = 0) -> Iterator[bytes]:
    """Yield the lines of a logical file without their newlines; a torn last line is yielded as far as it goes.

    Args:
        file: the logical file.
        offset: a line's beginning, in plain bytes.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    rest: list[bytes] = []
    for chunk in read_bytes_from(file, offset):
        first, *lines = chunk.split(b"\n")
        rest.append(first)
        if lines:
            yield b"".join(rest)
            *whole, last = lines
            yield from whole
            rest = [last]
    if torn := b"".join(rest):
        yield torn


def copy_tail(file: SpoolFile, offset: int, out: Path) -> int:
    """Write the plain bytes from `offset` on to `out`; return how many there were.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    size = 0
    with out.open("wb") as target:
        for chunk in read_bytes_from(file, offset):
            size += target.write(chunk)
    return size


def begins_with(plain: Path, sealed: Path) -> bool:
    """Return whether the plain file's first bytes are exactly the sealed file's content.

    Raises:
        SpoolError: the sealed file cannot be read.
    """
    with plain.open("rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in sealed_chunks(sealed))


def sealed_chunks(path: Path) -> Iterator[bytes]:
    """Yield the plain bytes of a sealed file.

    Raises:
        FileNotFoundError: it is gone.
        SpoolError: it is damaged.
    """
    with pa.OSFile(str(path), "rb") as raw:
        try:
            with pa.CompressedInputStream(raw, "zstd") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise SpoolError(f"expected a whole sealed file at {path}, found a damaged one: {error}") from None


def _chunks(file: SpoolFile, offset: int) -> Iterator[bytes]:
    for path in parts(file):
        size = _sealed_size(file, path) if path == file.sealed else path.stat().st_size
        if offset >= size > 0:
            offset -= size
        elif path == file.sealed:
            for chunk in sealed_chunks(path):
                if offset < len(chunk):
                    yield chunk[offset:]
                offset = max(0, offset - len(chunk))
        else:
            yield from _plain_chunks(path, offset)
            offset = 0


def _plain_chunks(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(CHUNK):
            yield chunk


def _sealed_size(file: SpoolFile, path: Path) -> int:
    known = seal_record(file)
    return known["plain_bytes"] if known else sum(map(len, sealed_chunks(path)))


def seal_record(file: SpoolFile) -> dict[str, int] | None:
    """Return the counts of the ledger's last record about the sealed file as it is; None if it says nothing of it.

    The record must name the size of the compressed file, so that a record of an older seal is never believed.
    """
    if file.sealed is None:
        return None
    size = file.sealed.stat().st_size
    for row in reversed(read_ledger_file(file.folder)):
        if row.get("event") == "seal" and row.get("file") == file.sealed.name and row.get("sealed_bytes") == size:
            counts = {key: value for key in ("lines", "plain_bytes") if isinstance(value := row.get(key), int)}
            return counts if len(counts) == 2 else None
    return None
