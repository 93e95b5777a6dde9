"""What a gate says: a verdict, the figure it rests on, and one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

Verdict = Literal["pass", "fail", "not_yet", "not_applicable"]
Value = float | int | dict[str, float | None] | None

PASSED: Final[dict[Verdict, bool | None]] = {"pass": True, "fail": False, "not_yet": None, "not_applicable": None}

WORDS: Final[dict[Verdict, str]] = {
    "pass": "pass", "fail": "FAIL", "not_yet": "not yet", "not_applicable": "not applicable",
}  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """One judged gate.

    Attributes:
        verdict: `not_yet` while the window cannot show it, `not_applicable` where there is nothing to judge.
        value: the figure that was compared, of the worst symbol; null if there is none.
        threshold: what it was compared with.
        detail: one sentence: what was found, and where it failed.
    """

    name: str
    verdict: Verdict
    value: Value
    threshold: Value
    detail: str

    @property
    def passed(self) -> bool | None:
        """True, false, or None where the gate was not judged."""
        return PASSED[self.verdict]

    @property
    def failed(self) -> bool:
        """Whether the gate was judged and did not pass."""
        return self.verdict == "fail"

    def document(self) -> dict[str, object]:
        """Return the gate as the reports carry it."""
        return {
            "name": self.name, "verdict": self.verdict, "passed": self.passed, "value": self.value,
            "threshold": self.threshold, "detail": self.detail,
        }  # fmt: skip


def pass_or_fail(*, failed: object) -> Verdict:
    """Return the verdict of a gate that is always judged."""
    return "fail" if failed else "pass"


def verdict_of(*, failed: object, judged: object) -> Verdict:
    """Return `fail` if something judged failed, `not_yet` if nothing was judged, else `pass`."""
    if failed:
        return "fail"
    return "pass" if judged else "not_yet"


def failing(gates: Iterable[Gate]) -> list[str]:
    """Return the names of the gates that failed."""
    return [gate.name for gate in gates if gate.failed]


def unjudged(gates: Iterable[Gate]) -> list[str]:
    """Return the names of the gates that were not judged."""
    return [gate.name for gate in gates if gate.passed is None]


def run_tag(gates: Iterable[Gate]) -> str:
    """Return `ok`, or what applies of `insufficient_coverage` and `failed_gates`, joined by `+`."""
    failed = failing(gates)
    coverage = [name for name in failed if name.startswith("coverage_")]
    tags = (["insufficient_coverage"] if coverage else []) + (["failed_gates"] if len(failed) > len(coverage) else [])
    return "+".join(tags) or "ok"


def some(told: Sequence[str], shown: int = 4) -> str:
    """Return the first findings as one sentence, and how many more there are."""
    more = f" and {len(told) - shown} more" if len(told) > shown else ""
    return "; ".join(told[:shown]) + more


def clock(ms: int | None) -> str:
    """Return a UTC time for a detail."""
    return "outside every slice" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
