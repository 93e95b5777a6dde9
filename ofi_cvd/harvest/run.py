"""The run as such: its window, what of it is reported already, and what a start has to do. No process, no socket.

`state/run.json` keeps it, so that a restart within the window continues the same run
(docs/harvest.md, docs/specification/quality.md). The state may be deleted and is then built again: a copy among the artifacts,
beside the log of the run, finds the run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from ofi_cvd.common.files import write_whole
from ofi_cvd.common.times import HOUR_MS, utc
from ofi_cvd.errors import PublishError, UsageError
from ofi_cvd.settings import Settings

NAME: Final = "run.json"
CONNECT_MS: Final = 3000  # the run begins once the recorder can be expected to be connected
PATIENCE_MS: Final = 900_000  # a report waits so long for the slices of its hour, then says what is missing


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run; all times in UTC ms, the window `[start_ms, end_ms)` in whole slices.

    Attributes:
        slice_ms: length of a slice (`PARQUET_ROTATE_SEC`).
        starts: how often it was started.
        reported: hours, by start, whose report is written.
        finished: whether the final reports are written.
    """

    start_ms: int
    end_ms: int
    slice_ms: int
    symbols: tuple[str, ...]
    params_fingerprint: str
    starts: int = 1
    reported: tuple[int, ...] = ()
    finished: bool = False
    version: int = 1

    @property
    def stamp(self) -> str:
        """`YYYYMMDD_HHMM` of the start; log and summary are named after it."""
        return f"{utc(self.start_ms):%Y%m%d_%H%M}"

    def judged_end_ms(self, stopped_ms: int) -> int:
        """Return the end of the last whole slice at `stopped_ms`: what the final reports judge up to."""
        return max(self.start_ms, min(self.end_ms, stopped_ms // self.slice_ms * self.slice_ms))

    def hour(self, hour_ms: int, end_ms: int | None = None) -> tuple[int, int]:
        """Return the part of an hour that lies in the run (up to `end_ms`)."""
        end_ms = self.end_ms if end_ms is None else end_ms
        return max(self.start_ms, hour_ms), min(end_ms, hour_ms + HOUR_MS)

    def with_report(self, hour_ms: int) -> Run:
        """Return the run with one more hour reported."""
        return msgspec.structs.replace(self, reported=tuple(sorted({*self.reported, hour_ms})))

    def as_finished(self) -> Run:
        """Return the run with its final reports written."""
        return msgspec.structs.replace(self, finished=True)

    def unreported(self, until_ms: int) -> Iterator[int]:
        """Yield the hours, by start, that ended by `until_ms` and have no report yet."""
        for hour_ms in range(self.start_ms // HOUR_MS * HOUR_MS, min(self.end_ms, until_ms) - HOUR_MS + 1, HOUR_MS):
            if hour_ms not in self.reported:
                yield hour_ms

    def overdue_s(self, now_ms: int) -> float:
        """Return how long ago the oldest report that is owed should have been written, in seconds; 0 if none is."""
        due_ms = next((hour_ms + HOUR_MS + PATIENCE_MS for hour_ms in self.unreported(now_ms)), now_ms)
        return max(0.0, (now_ms - due_ms) / 1000)

    def hour_due(self, now_ms: int, published_to: Mapping[str, int]) -> int | None:
        """Return the next hour to report: all its slices are published, or were waited for long enough."""
        for hour_ms in self.unreported(now_ms):
            end_ms = hour_ms + HOUR_MS
            built = all(published_to.get(symbol, 0) >= end_ms for symbol in self.symbols)
            return hour_ms if built or now_ms >= end_ms + PATIENCE_MS else None
        return None


def begin(settings: Settings, now_ms: int) -> Run:
    """Return a run of `RUN_HOURS` that begins with the next slice."""
    slice_ms = settings.parquet_rotate_sec * 1000
    start_ms = -(-(now_ms + CONNECT_MS) // slice_ms) * slice_ms
    slices = max(1, round(settings.run_hours * HOUR_MS / slice_ms))
    return Run(
        start_ms=start_ms,
        end_ms=start_ms + slices * slice_ms,
        slice_ms=slice_ms,
        symbols=settings.symbols,
        params_fingerprint=settings.fingerprint(),
    )


def begin_or_continue(found: Run | None, settings: Settings, now_ms: int, *, new: bool) -> Run:
    """Return the run that a start is about: the unfinished one, or another.

    A run whose window is over is finished first: its last slices, its reports and its verdict are still owed.

    Raises:
        UsageError: the unfinished run was started with other symbols, slices or parameters.
    """
    if found is None or found.finished or new:
        return begin(settings, now_ms)
    for what, was, now in (
        ("SYMBOLS", ",".join(sorted(found.symbols)), ",".join(sorted(settings.symbols))),
        ("PARQUET_ROTATE_SEC", found.slice_ms // 1000, settings.parquet_rotate_sec),
        ("parameters", found.params_fingerprint[:12], settings.fingerprint()[:12]),
    ):
        if was != now:
            raise UsageError(
                f"the run that began at {found.stamp} is not over: expected its {what} ({was}), found {now}; "
                "--new starts another run"
            )
    return msgspec.structs.replace(found, starts=found.starts + 1)


def homes(settings: Settings) -> tuple[Path, Path]:
    """Return the folders that keep the run, the one that is asked first before the other."""
    return settings.state_dir, settings.artifacts_dir / "run_logs"


def load(*folders: Path) -> Run | None:
    """Return the run that was last started, from the first folder that knows it; None before the first run.

    Raises:
        PublishError: the file is there and cannot be read.
    """
    for path in (folder / NAME for folder in folders):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Run)
        except FileNotFoundError:
            continue
        except (msgspec.DecodeError, OSError) as error:
            reason = f"{path}: expected the window of a run, found {error}; --new starts another run"
            raise PublishError(reason) from None
    return None


def save(run: Run, *folders: Path) -> None:
    """Write the run whole into each folder.

    Raises:
        PublishError: it cannot be written.
    """
    for path in (folder / NAME for folder in folders):
        try:
            write_whole(path, msgspec.json.format(msgspec.json.encode(run)) + b"\n")
        except OSError as error:
            raise PublishError(f"{path}: could not be written ({error.strerror or error})") from None
