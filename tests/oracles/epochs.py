"""Epochs (section 3): where a venue began its ids anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def epochs(websocket_rows: Iterable[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Return the rows (T, id) of each epoch, in order; a row received more than once counts once."""
    rows = sorted(set(websocket_rows))
    out: list[list[tuple[int, int]]] = []
    for i, row in enumerate(rows):
        if not out or _opens(rows, i, max(number for _, number in out[-1])):
            out.append([row])
        else:
            out[-1].append(row)
    return out


def _opens(rows: Sequence[tuple[int, int]], i: int, highest: int) -> bool:
    window = [number for _, number in rows[i : i + 50]]
    if len(window) < 50 or window[0] >= highest - 10_000:
        return False
    return all(number < highest for number in window) and all(window[k] < window[k + 1] for k in range(len(window) - 1))


def epoch_at(spans: Sequence[tuple[int, int]], at_ms: int) -> int:
    """Return the epoch, of those with spans (first T, last T), that contains a time or is nearest."""
    return min(range(len(spans)), key=lambda i: max(spans[i][0] - at_ms, at_ms - spans[i][1], 0))
