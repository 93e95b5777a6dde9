"""Reads logical spool files: every line once, plain or sealed, from any offset (docs/specification/spool.md#lines).

The bytes of a logical file only ever grow at the end: sealing, merging and late repairs keep every offset valid.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from ofi_cvd.errors import SpoolError
from ofi_cvd.spool.layout import SpoolFile
from ofi_cvd.spool.ledger import read_ledger_file
from ofi_cvd.spool.line import RECEIPT

CHUNK = 1024 * 1024


def parts(file: SpoolFile) -> list[Path]:
    """Return the physical files that together hold every line of a logical file once, in order.

    Plain and sealed stand side by side after a crash between rename and delete of a seal: then the plain file begins
    with the sealed content and stands for both. Where it was begun anew after the seal, both count.

    Raises:
        FileNotFoundError: a seal took a file away meanwhile; ask again with `file.again()`.
        SpoolError: the sealed file cannot be read.
    """
    if file.plain is None or file.sealed is None:
        return [path for path in (file.sealed, file.plain) if path is not None]
    with file.plain.open("rb") as plain, file.sealed.open("rb") as sealed:
        return [file.plain] if _begins_with(plain, sealed) else [file.sealed, file.plain]


def plain_size(file: SpoolFile) -> int:
    """Return the number of plain bytes in a logical file; cheap for sealed files that the ledger knows.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    with _opened(file) as (sealed, plain):
        sealed_size = _sealed_size(sealed) if sealed else 0
        return sealed_size + (os.fstat(plain.fileno()).st_size if plain else 0)


def read_bytes_from(file: SpoolFile, offset: int) -> Iterator[bytes]:
    """Yield the plain bytes of a logical file from `offset` on, in chunks of any size; nothing if it is shorter.

    A seal that takes the plain file away meanwhile does not disturb the reading.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    with _opened(file) as (sealed, plain):
        if sealed:
            size = _sealed_size(sealed) if offset else 0
            if offset < size or not offset:
                for chunk in _decompressed(sealed):
                    if offset < len(chunk):
                        yield chunk[offset:]
                    offset = max(0, offset - len(chunk))
            else:
                offset -= size
        if plain:
            plain.seek(offset)
            while chunk := plain.read(CHUNK):
                yield chunk


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


def line_start(file: SpoolFile, offset: int) -> int:
    """Return where the line begins that holds the byte before `offset`, or `offset` if that byte ends a line.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    reach = CHUNK // 16
    while True:
        begin = max(0, offset - reach)
        head = b""
        for chunk in read_bytes_from(file, begin):
            head += chunk
            if len(head) >= offset - begin:
                break
        newline = head[: offset - begin].rfind(b"\n")
        if newline >= 0 or not begin:
            return begin + newline + 1
        reach *= 16


def last_receipt_ns(file: SpoolFile) -> int | None:
    """Return `recv_ns` of the last whole line of a logical file; None where it has none.

    Raises:
        SpoolError: a sealed file cannot be read.
    """
    end = plain_size(file)
    while end > 0:
        begin = line_start(file, end - 1)
        found = RECEIPT.match(b"".join(read_bytes_from(file, begin))[: end - begin])
        if found:
            return int(found[1])
        end = begin
    return None


def sealed_chunks(path: Path) -> Iterator[bytes]:
    """Yield the plain bytes of a sealed file.

    Raises:
        FileNotFoundError: it is gone.
        SpoolError: it is damaged.
    """
    with path.open("rb") as file:
        yield from _decompressed(file)


def seal_record(sealed: Path, size: int) -> dict[str, object] | None:
    """Return the ledger's last record about a sealed file of `size` compressed bytes; None if it has none.

    The size must agree, so that the record of an older seal is never believed.
    """
    for row in reversed(read_ledger_file(sealed.parent)):
        if row.get("event") == "seal" and row.get("file") == sealed.name and row.get("sealed_bytes") == size:
            return row
    return None


def _decompressed(sealed: BinaryIO) -> Iterator[bytes]:
    if not os.fstat(sealed.fileno()).st_size:
        raise SpoolError(f"expected a whole sealed file at {sealed.name}, found an empty one")
    # The stream closes what it is given, so it is given a descriptor of its own.
    with os.fdopen(os.dup(sealed.fileno()), "rb") as own:
        own.seek(0)
        try:
            with pa.CompressedInputStream(pa.PythonFile(own, "r"), "zstd") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise SpoolError(f"expected a whole sealed file at {sealed.name}, found a damaged one: {error}") from None


def _begins_with(plain: BinaryIO, sealed: BinaryIO) -> bool:
    return all(plain.read(len(chunk)) == chunk for chunk in _decompressed(sealed))


@contextlib.contextmanager
def _opened(file: SpoolFile) -> Iterator[tuple[BinaryIO | None, BinaryIO | None]]:
    """Open `(sealed, plain)` as they belong together at one moment, whatever a seal does meanwhile."""
    while True:
        with contextlib.ExitStack() as stack:
            now = file.again()
            try:
                sealed = stack.enter_context(now.sealed.open("rb")) if now.sealed else None
                plain = stack.enter_context(now.plain.open("rb")) if now.plain else None
                if file.again() != now or not (_still(sealed, now.sealed) and _still(plain, now.plain)):
                    continue
            except FileNotFoundError:
                continue  # taken away between the look and the opening: look again
            if sealed and plain:
                covered = _begins_with(plain, sealed)
                plain.seek(0)
                sealed = None if covered else sealed
            yield sealed, plain
            return


def _still(file: BinaryIO | None, path: Path | None) -> bool:
    """Return whether the open file is the one that now stands at the path."""
    return file is None or path is None or os.path.samestat(os.fstat(file.fileno()), path.stat())


def _sealed_size(sealed: BinaryIO) -> int:
    row = seal_record(Path(sealed.name), os.fstat(sealed.fileno()).st_size)
    known = row.get("plain_bytes") if row else None
    return known if isinstance(known, int) else sum(map(len, _decompressed(sealed)))
