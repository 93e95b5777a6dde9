"""What the processes of a run tell each other: plain values through a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ofi_cvd.quality.verdicts import Verdict

STOP: Final = "stop"  # to a child: finish what you are doing and end
FINISH: Final = "finish"  # to the builder: build what is left, then end


@dataclass(frozen=True)
class Line:
    """A log line as it is written."""

    level: int
    text: str


@dataclass(frozen=True)
class Alive:
    """A child is at work and has nothing to tell yet."""


@dataclass(frozen=True)
class Counted:
    """The recorder's counters of this moment, pickled where nobody changes them."""

    stats: bytes


@dataclass(frozen=True)
class Built:
    """A round of the builder.

    Attributes:
        published_to: end of the last published slice by symbol, UTC ms.
        took_s: how long the round took.
        write_errors: slices that could not be written, since the builder was started.
        failed: symbols that could not be built this time, and why.
        final: whether everything in the spool is published.
    """

    published_to: Mapping[str, int]
    took_s: float
    write_errors: int
    failed: Mapping[str, str] = field(default_factory=dict)
    final: bool = False


@dataclass(frozen=True)
class Dataset:
    """Figures of the published rows.

    Attributes:
        winsor: the answer of `sql/winsor.sql` by symbol, over the recent rows.
        scenario: of each symbol's latest trade; None where it is not known.
    """

    winsor: Mapping[str, Mapping[str, Any]]
    scenario: Mapping[str, str | None]


@dataclass(frozen=True)
class Judged:
    """A report that was written.

    Attributes:
        what: `hour`, `check` or `final`.
        hour_ms: the hour's start; 0 for the others.
        verdicts: by gate.
        run_tag: of the judged window.
        scene_coverage_miss: pairs that are short of trades from the run's start to the window's end; 0 while not judged.
        paths: the files that were written.
    """

    what: str
    hour_ms: int
    verdicts: Mapping[str, Verdict]
    run_tag: str
    scene_coverage_miss: int = 0
    paths: tuple[str, ...] = ()


Message = Line | Alive | Counted | Built | Dataset | Judged


@dataclass(frozen=True)
class Task:
    """What to report.

    Attributes:
        what: `hour` a full hour, `check` a young run so far, `final` the whole run.
        hour_ms: the hour's start.
        end_ms: up to where the run is judged.
    """

    what: Literal["hour", "check", "final"]
    end_ms: int
    hour_ms: int = 0
