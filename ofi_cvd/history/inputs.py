"""Opens a file of others: plain, gzip or a zip with one member; streamed, never extracted, and bounded.

A hostile or damaged file ends in one sentence. Sizes are counted while reading, because what a file declares may be wrong.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

from ofi_cvd.errors import InputError

CHUNK_BYTES: Final = 16 * 1024 * 1024
MAX_PLAIN_BYTES: Final = 64 * 1024**3
RATIO_FREE_BYTES: Final = 64 * 1024**2
MAX_RATIO: Final = 200
_CHECKSUM: Final = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(\S+))?\s*")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE: Final = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError)


class InputFile:
    """One file to import.

    Attributes:
        path: where it is.
        size: its bytes on the disk.
        position: how many of them have been read, for a progress bar.
        sha256: of the file as it is on the disk.
        is_verified: whether a `.CHECKSUM` beside it confirms the digest.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.position, self.is_verified = path, 0, False
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise InputError(f"{path}: expected a file, found none ({error.strerror})") from None
        if not path.is_file():
            raise InputError(f"{path}: expected a file, found something else")
        self.sha256 = ""

    def verify(self) -> None:
        """Take the digest, and compare it with the `.CHECKSUM` beside the file where there is one.

        Raises:
            InputError: the file is empty or cannot be read, or its checksum is another.
        """
        if not self.size:
            raise InputError(f"{self.path}: expected rows, found an empty file")
        try:
            with self.path.open("rb") as file:
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: expected a readable file, found {error.strerror}") from None
        wanted = read_checksum(self.path)
        if wanted is not None and wanted != self.sha256:
            raise InputError(
                f"{self.path}: expected SHA-256 {wanted[:12]}... as its .CHECKSUM says, found {self.sha256[:12]}...; "
                "the file is damaged or was revised: fetch it again"
            )
        self.is_verified = wanted is not None

    def chunks(self) -> Iterator[bytes]:
        """Yield the plain bytes in chunks that end with a newline (the last one may lack it).

        Raises:
            InputError: damaged, encrypted, more than one member, or larger than is safe.
        """
        rest = b""
        try:
            with self._opened() as (plain, raw, packed_size):
                total = 0
                while block := plain.read(CHUNK_BYTES):
                    total += len(block)
                    self.position = min(self.size, raw.tell())
                    self._check_size(total, packed_size or max(1, self.position))
                    cut = block.rfind(b"\n") + 1
                    if not cut and len(rest) > CHUNK_BYTES:
                        raise InputError(f"{self.path}: expected lines, found one of more than {len(rest):,} bytes")
                    if cut:
                        yield rest + block[:cut]
                        rest = block[cut:]
                    else:
                        rest += block
        except _DAMAGE as error:
            raise InputError(
                f"{self.path}: expected a whole file, found a damaged or truncated one ({error})"
            ) from None
        except OSError as error:
            raise InputError(f"{self.path}: expected a readable file, found {error}") from None
        if rest:
            yield rest
        self.position = self.size

    def member_name(self) -> str | None:
        """Return the name of a zip's only member; None if the file is no zip.

        Raises:
            InputError: the zip is damaged, encrypted, or has not exactly one member.
        """
        if not self.is_zip():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                return self._only_member(archive).filename
        except _DAMAGE as error:
            raise InputError(f"{self.path}: expected a whole zip, found a damaged or truncated one ({error})") from None

    def is_zip(self) -> bool:
        """Return whether the file begins like a zip."""
        with self.path.open("rb") as file:
            return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], BinaryIO, int | None]]:
        """Open `(plain bytes, the file itself, packed bytes of the member)`."""
        with self.path.open("rb") as raw:
            head = raw.read(4)
            raw.seek(0)
            if head in {b"PK\x03\x04", b"PK\x05\x06"}:
                with zipfile.ZipFile(raw) as archive:
                    member = self._only_member(archive)
                    with archive.open(member) as plain:
                        yield plain, raw, max(1, min(member.compress_size, self.size))
            elif head[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked, raw, None  # type: ignore[misc]  # reads like any binary file
            else:
                yield raw, raw, self.size

    def _only_member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        members = archive.infolist()
        if len(members) != 1 or members[0].is_dir():
            names = ", ".join(ascii(member.filename)[:60] for member in members[:3]) or "none"
            raise InputError(f"{self.path}: expected a zip with exactly one file, found {len(members)} ({names})")
        member = members[0]
        if member.flag_bits & 1:
            raise InputError(f"{self.path}: expected a zip without a password, found an encrypted one")
        if member.compress_type not in _METHODS:
            raise InputError(f"{self.path}: expected a stored or deflated zip, found method {member.compress_type}")
        self._check_size(member.file_size, max(1, min(member.compress_size, self.size)))
        return member

    def _check_size(self, plain_bytes: int, packed_bytes: int) -> None:
        if plain_bytes > MAX_PLAIN_BYTES:
            raise InputError(f"{self.path}: expected at most {MAX_PLAIN_BYTES >> 30} GiB of rows, found more")
        if plain_bytes > RATIO_FREE_BYTES and plain_bytes > MAX_RATIO * packed_bytes:
            raise InputError(
                f"{self.path}: expected at most {MAX_RATIO} bytes out of one packed byte, found "
                f"{plain_bytes // packed_bytes}; this looks like a decompression bomb"
            )


def read_checksum(path: Path) -> str | None:
    """Return the digest that the `.CHECKSUM` beside a file gives for it; None without one.

    Raises:
        InputError: there is one, and it says something else than one digest of this file.
    """
    beside = path.with_name(path.name + ".CHECKSUM")
    try:
        text = beside.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{beside}: expected a checksum, found {error}") from None
    match = _CHECKSUM.fullmatch(text)
    if match is None or (match[2] is not None and Path(match[2]).name != path.name):
        raise InputError(f"{beside}: expected `<sha256> {path.name}`, found {text[:80]!r}")
    return match[1].lower()
