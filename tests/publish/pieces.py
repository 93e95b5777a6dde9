"""A spool that arrives in pieces, a process that dies at any touch of the disk, and datasets compared bit for bit."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase
from polars.testing import assert_frame_equal

from ofi_cvd.schemas import KINDS
from ofi_cvd.settings import Settings
from tests.datasets import frames_of
from tests.spool_files import HOUR_MS, hour_folder, spool_line, write_spool
from tests.strategies import Json, Market

# A failing market is not made smaller in the suite: at a dataset an attempt that takes minutes.
PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate)
TIMES: Final = ("T", "E", "start_ms", "end_ms")


@dataclass(frozen=True)
class Piece:
    """What the spool gains between two builds; `torn` is how much of the last line is there already."""

    frames: list[Json] = field(default_factory=list)
    ledger: list[Json] = field(default_factory=list)
    torn: float = 0.0


class Growing:
    """A spool on the disk that gains pieces; a torn last line is completed by the next piece."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rest: tuple[Path, bytes] | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        if self._rest is not None:
            path, data = self._rest
            with path.open("ab") as file:
                file.write(data)
            self._rest = None
        is_torn = piece.torn and piece.frames and piece.frames[-1].get("conn") != "rest"
        write_spool(self._root, piece.frames[:-1] if is_torn else piece.frames, piece.ledger)
        if is_torn:
            self._tear(piece.frames[-1], piece.torn)

    def _tear(self, frame: Json, share: float) -> None:
        symbol, _, stream = str(frame["stream"]).partition("@")
        folder = hour_folder(self._root, int(str(frame["recv_ns"])) // 1_000_000)
        path, line = folder / f"{symbol.upper()}.{stream}.ndjson", spool_line(frame).encode() + b"\n"
        folder.mkdir(parents=True, exist_ok=True)
        at = max(1, int(share * (len(line) - 1)))
        with path.open("ab") as file:
            file.write(line[:at])
        self._rest = path, line[at:]


def cut(market: Market, places: Sequence[float], torn: Sequence[float] = ()) -> list[Piece]:
    """Cut a market by receipt order at shares of its frames; ledger records come with the frames of their time."""
    frames = sorted(market.frames, key=_recv_ns)
    bounds = [0, *sorted(round(place * len(frames)) for place in places), len(frames)]
    pieces, told = [], 0
    ledger = sorted(market.ledger, key=_recv_ns)
    for i, (start, end) in enumerate(itertools.pairwise(bounds)):
        now = _recv_ns(frames[end - 1]) if end else 0
        known = len(ledger) if end == len(frames) else sum(_recv_ns(one) <= now for one in ledger)
        pieces.append(
            Piece(frames[start:end], ledger[told:known], torn[i] if i < len(torn) and end < len(frames) else 0)
        )
        told = max(told, known)
    return pieces


def stretched(market: Market, jumps: Sequence[tuple[float, int]], *, frames_whole: bool = True) -> Market:
    """Return the market with silences of whole hours put in, at shares of its frames.

    With `frames_whole` all times of a frame move together; else each time moves by itself, so that what happened before
    a silence may be received after it.
    """
    ordered = sorted(market.frames, key=_recv_ns)
    if not ordered:
        return market
    silences = [
        (_recv_ns(ordered[min(int(at * len(ordered)), len(ordered) - 1)]) // 1_000_000, hours) for at, hours in jumps
    ]

    def shift(ms: int) -> int:
        return HOUR_MS * sum(hours for begins, hours in silences if ms >= begins)

    def moved(record: Json, recv_ms: int) -> Json:
        own = shift(recv_ms)
        times = {
            name: value + (own if frames_whole else shift(value))
            for name, value in record.items()
            if name in TIMES and isinstance(value, int)
        }
        return {**record, **times}

    frames = []
    for frame in ordered:
        recv_ns, data = _recv_ns(frame), frame["data"]
        assert isinstance(data, dict)
        recv_ms = recv_ns // 1_000_000
        frames.append({**frame, "recv_ns": recv_ns + shift(recv_ms) * 1_000_000, "data": moved(data, recv_ms)})
    ledger = []
    for record in market.ledger:
        recv_ns = _recv_ns(record)
        spans = {
            name: value + shift(value) for name, value in record.items() if name in TIMES and isinstance(value, int)
        }
        ledger.append({**record, **spans, "recv_ns": recv_ns + shift(recv_ns // 1_000_000) * 1_000_000})
    return replace(market, frames=frames, ledger=ledger)


class Killed(BaseException):
    """The process is no more."""


@contextlib.contextmanager
def killed_at(touch: int, root: Path) -> Iterator[list[str]]:
    """Let the disk below `root` die at its n-th touch: no touch after it leaves a trace, as after `kill -9`.

    A touch is a file half written at its fsync, and the moments before and after each rename or removal. What the
    `with` statement gives is the list of touches so far.
    """
    touches: list[str] = []
    fsync, rename, remove = os.fsync, os.replace, os.unlink

    def touched(what: str) -> None:
        touches.append(what)
        if len(touches) >= touch:
            raise Killed(what)

    def dying_fsync(fd: int) -> None:
        if len(touches) + 1 >= touch and stat.S_ISREG(os.fstat(fd).st_mode):  # a folder has no half
            os.ftruncate(fd, os.fstat(fd).st_size // 2)
        touched("fsync")
        fsync(fd)

    def dying_rename(source: Path, target: Path, **how: object) -> None:
        touched("before rename")
        rename(source, target)
        touched("after rename")

    def dying_remove(path: Path, **how: object) -> None:
        if not _is_below(path, root) or str(path).endswith(".lock"):
            remove(path, **how)  # type: ignore[arg-type]  # handed through
            return
        touched("before removal")
        remove(path)
        touched("after removal")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", dying_fsync)
        patch.setattr(os, "replace", dying_rename)
        patch.setattr(os, "unlink", dying_remove)
        yield touches


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, whatever its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_rows(found: Settings, wanted: Settings) -> None:
    """Compare the published tables of two datasets bit for bit."""
    left, right = frames_of(found.data_dir), frames_of(wanted.data_dir)
    for kind in KINDS:
        assert_frame_equal(left[kind], right[kind], check_exact=True)


def assert_no_strays(settings: Settings) -> None:
    """Check that the dataset's folder holds nothing but parts."""
    others = [path for path in settings.data_dir.rglob("*") if path.is_file() and not path.name.startswith("part-")]
    assert others == []


def _recv_ns(record: Mapping[str, object]) -> int:
    return int(str(record["recv_ns"]))


def _is_below(path: Path, root: Path) -> bool:
    return Path(path).is_relative_to(root)
