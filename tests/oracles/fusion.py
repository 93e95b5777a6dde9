"""The two flows as one score, a row a second (section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .book import OfiRow, z_rule
from .outages import Trouble
from .settings import Params
from .trades import Trade
from .windows import ceil_to

SECOND = 1_000


@dataclass(frozen=True)
class FusionRow:
    """One second that has an `ofi` row."""

    ts_ms: int
    ofi_flow: float
    cvd_flow: float | None
    ofi_flow_z: float | None
    cvd_flow_z: float | None
    score: float | None
    score_z: float | None
    consistency: float | None
    mid: float | None


def fusion_rows(ofi: Sequence[OfiRow], trades: Sequence[Trade], trouble: Trouble, params: Params) -> list[FusionRow]:
    """Return the rows in time order."""
    ofi_flows, mids = ofi_by_second(ofi)
    deltas = delta_by_second(trades)
    times = sorted(ofi_flows)
    cvd_flows = [None if trouble.trades_lost_between(t - SECOND, t) else deltas.get(t, Fraction(0)) for t in times]
    ofi_zs = [each.z for each in z_rule(times, [ofi_flows[t] for t in times], params)]
    cvd_zs = [each.z for each in z_rule(times, cvd_flows, params)]
    scores = [
        None if a is None or b is None else params.w_ofi * a + params.w_cvd * b
        for a, b in zip(ofi_zs, cvd_zs, strict=True)
    ]
    score_zs = [each.z for each in z_rule(times, scores, params)]
    return [
        FusionRow(
            ts_ms=t,
            ofi_flow=float(ofi_flows[t]),
            cvd_flow=None if cvd_flows[i] is None else float(cvd_flows[i] or 0),
            ofi_flow_z=ofi_zs[i],
            cvd_flow_z=cvd_zs[i],
            score=scores[i],
            score_z=score_zs[i],
            consistency=consistency(ofi_zs[i], cvd_zs[i]),
            mid=mids[t],
        )
        for i, t in enumerate(times)
    ]


def ofi_by_second(ofi: Sequence[OfiRow]) -> tuple[dict[int, Fraction], dict[int, float | None]]:
    """Return the exact sum of `ofi_value` and the last `mid` of every second with a row."""
    flows: dict[int, Fraction] = {}
    mids: dict[int, float | None] = {}
    for row in ofi:
        t = ceil_to(row.ts_ms, SECOND)
        flows[t] = flows.get(t, Fraction(0)) + row.value
        mids[t] = row.mid
    return flows, mids


def delta_by_second(trades: Sequence[Trade]) -> dict[int, Fraction]:
    """Return the exact sum of delta of every second with a trade."""
    out: dict[int, Fraction] = {}
    for trade in trades:
        t = ceil_to(trade.ts_ms, SECOND)
        out[t] = out.get(t, Fraction(0)) + trade.delta
    return out


def consistency(a: float | None, b: float | None) -> float | None:
    """Return `2ab/(a^2 + b^2)`: 1 they agree, -1 they oppose, 0 unrelated or both 0."""
    if a is None or b is None:
        return None
    if a == 0 and b == 0:
        return 0.0
    return 2 * a * b / (a * a + b * b)
