"""Reads a capture file line by line: plain or gzip, whole lines only, no line longer than memory should hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ofi_cvd.errors import InputError

MAX_LINE = 8 * 1024 * 1024  # a full book of 1000 levels a side is 60 kB
_GZIP = b"\x1f\x8b"


class CaptureLines:
    """Iterates over the lines of one capture, without their newlines; None stands for a line that is too long.

    Attributes:
        path: where it is.
        size: the file's bytes on the disk.
        position: how many of them have been read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise InputError(f"expected a capture file, found none at {path}: {error.strerror}") from None
        if not path.is_file():
            raise InputError(f"expected a capture file, found something else at {path}")

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield the lines.

        Raises:
            InputError: the file is empty, cannot be read, or its gzip data is damaged or ends early; every whole line
                before that has been yielded.
        """
        if not self.size:
            raise InputError(f"expected lines `<local ns> <json>` in {self.path}, found an empty file")
        try:
            with self.path.open("rb") as raw:
                packed = raw.peek(2)[:2] == _GZIP
                if packed:
                    with gzip.GzipFile(fileobj=raw) as unpacked:
                        yield from self._lines(unpacked, raw)  # type: ignore[arg-type]  # reads like any binary file
                else:
                    yield from self._lines(raw, raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"expected whole gzip data in {self.path}, found {error}") from None
        except OSError as error:
            raise InputError(f"expected a readable file at {self.path}, found {error}") from None

    def _lines(self, file: BinaryIO, raw: BinaryIO) -> Iterator[bytes | None]:
        number = 0
        while line := file.readline(MAX_LINE):
            if line[-1:] == b"\n":
                yield line[:-1]
            elif len(line) < MAX_LINE:
                yield line  # the last line, without its newline
            else:
                while (more := file.readline(MAX_LINE)) and more[-1:] != b"\n":
                    pass
                yield None
            number += 1
            if not number % 1024:
                self.position = raw.tell()
        self.position = self.size
