"""Coverage: trades by scenario and session, how much of a window can be judged, and the two coverage gates.

Counts of several hours add up, so that an hourly report judges the run so far without reading earlier hours again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.quality.verdicts import Gate, some, verdict_of
from ofi_cvd.quality.window import Window, scaled
from ofi_cvd.settings import Settings

SCENE_ROWS: Final = 2000  # per 72 h
SCENE_SHARE: Final = 20  # one row of so many is enough as well: 5 %
SESSION_ROWS: Final = 1000  # per 24 h within the session, which is 72 h of run
SESSION_SCENES: Final = 2
FULL_MS: Final = 72 * HOUR_MS
SESSION_FULL_MS: Final = 24 * HOUR_MS
JUDGED_MS: Final = HOUR_MS
SCENES: Final = {"A_H": "a_h", "A_L": "a_l", "Q_H": "q_h", "Q_L": "q_l"}
TRADES: Final = "n"


@dataclass(frozen=True)
class Counts:
    """Trades by symbol, and by symbol and session: in all (`n`) and by scenario."""

    scenes: Mapping[str, Counter[str]] = field(default_factory=dict)
    sessions: Mapping[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return Counts(_sum(self.scenes, other.scenes), _sum(self.sessions, other.sessions))


def counts_of_rows(scenes: Iterable[Mapping[str, Any]], sessions: Iterable[Mapping[str, Any]]) -> Counts:
    """Return the counts that `sql/coverage_scene.sql` and `sql/coverage_session.sql` found."""
    columns = {TRADES: TRADES} | SCENES
    return Counts(
        {row["symbol"]: Counter({name: row[column] for name, column in columns.items()}) for row in scenes},
        {
            (row["symbol"], row["session"]): Counter({name: row[column] for name, column in SCENES.items()})
            for row in sessions
        },
    )


def counts_of_manifest(manifest: Mapping[str, Any]) -> Counts:
    """Return the counts that a slices manifest holds."""
    told: Mapping[str, Any] = manifest["symbols"]
    return Counts(
        {name: Counter({TRADES: found["rows"]["prices"], **found["scenario_2x2"]}) for name, found in told.items()},
        {
            (name, session): Counter(counts)
            for name, found in told.items()
            for session, counts in found["session"].items()
        },
    )


@dataclass(frozen=True)
class Coverage:
    """What the coverage gates judge.

    Attributes:
        window: the stretch that is judged; in an hourly report from the run's start.
        counts: of the whole window.
        first_ms: each symbol's first grid second in the dataset; absent without a trade.
    """

    window: Window
    counts: Counts
    first_ms: Mapping[str, int]

    def judged_from(self, symbol: str, settings: Settings) -> int:
        """Return when the labels of a symbol can be known at last: WIN_SECS + VOL_MIN_SECS after its first second."""
        warm_up_ms = 1000 * (settings.win_secs + settings.vol_min_secs)
        return max(self.window.start_ms, self.first_ms.get(symbol, self.window.end_ms) + warm_up_ms)

    def trades(self, symbol: str) -> int:
        """Return the `prices` rows of a symbol in the window."""
        return self.counts.scenes.get(symbol, Counter())[TRADES]

    def judges(self, symbol: str, settings: Settings, session: str | None = None) -> bool:
        """Return whether a symbol (in a session) is judged: an hour after warm-up, or no row at all, which fails."""
        if not self.trades(symbol):
            return True
        start_ms = self.judged_from(symbol, settings)
        if start_ms >= self.window.end_ms:
            return False
        judged = Window(start_ms, self.window.end_ms, self.window.symbols)
        if session is None:
            return judged.end_ms - judged.start_ms >= JUDGED_MS
        return judged.session_ms(settings.session_hours).get(session, 0) >= JUDGED_MS

    def scene_misses(self, settings: Settings) -> dict[str, list[str]]:
        """Return the scenarios that judged symbols have too few trades in; symbols without such are left out."""
        needed = scaled(SCENE_ROWS, self.window.length_ms, FULL_MS)
        found = {}
        for symbol in self.window.symbols:
            if not self.judges(symbol, settings):
                continue
            counts = self.counts.scenes.get(symbol, Counter())
            short = [
                scene
                for scene in SCENES
                if not counts[scene] or (counts[scene] < needed and SCENE_SHARE * counts[scene] < counts[TRADES])
            ]
            if short:
                found[symbol] = short
        return found

    def session_pairs(self, settings: Settings) -> Iterator[tuple[str, str, int]]:
        """Yield each judged symbol and session that the window covers, and how many trades a scenario needs there."""
        for session, covered_ms in self.window.session_ms(settings.session_hours).items():
            if covered_ms:
                needed = scaled(SESSION_ROWS, covered_ms, SESSION_FULL_MS)
                for symbol in self.window.symbols:
                    if self.judges(symbol, settings, session):
                        yield symbol, session, needed

    def scenes_seen(self, symbol: str, session: str, needed: int) -> int:
        """Return how many scenarios have at least `needed` trades in a session."""
        counts = self.counts.sessions.get((symbol, session), Counter())
        return sum(counts[scene] >= needed for scene in SCENES)

    def session_misses(self, settings: Settings) -> dict[tuple[str, str], tuple[int, int]]:
        """Return the judged pairs of symbol and session that are short: scenarios seen, trades needed in each."""
        seen = {
            (symbol, session): (self.scenes_seen(symbol, session, needed), needed)
            for symbol, session, needed in self.session_pairs(settings)
        }
        return {pair: found for pair, found in seen.items() if found[0] < SESSION_SCENES}

    def misses(self, settings: Settings) -> int:
        """Return `scene_coverage_miss`: the judged pairs that are short, above zero exactly when a gate failed."""
        scenes = sum(len(short) for short in self.scene_misses(settings).values())
        return scenes + len(self.session_misses(settings))


def judge_scenes(coverage: Coverage, settings: Settings, hints: Iterable[str]) -> Gate:
    """Return the verdict on scenarios: 2000 trades in each per 72 h, or 5 % of the symbol's, whichever is easier."""
    misses, window = coverage.scene_misses(settings), coverage.window
    judged = [symbol for symbol in window.symbols if coverage.judges(symbol, settings)]
    told = [f"{symbol} lacks {', '.join(short)} ({coverage.trades(symbol)} trades)" for symbol, short in misses.items()]
    told += hints
    needed = scaled(SCENE_ROWS, window.length_ms, FULL_MS)
    if not told:
        told.append("every judged symbol has enough trades in every scenario" if judged else "no symbol is judged yet")
    told += _waiting(symbol for symbol in window.symbols if symbol not in judged)
    told.append(f"needed: {needed} trades or {1 / SCENE_SHARE:.0%} of the symbol's")
    short = sum(len(scenes) for scenes in misses.values())
    return Gate("coverage_scene", verdict_of(failed=misses, judged=judged), short, 0, "; ".join(told))


def judge_sessions(coverage: Coverage, settings: Settings) -> Gate:
    """Return the verdict on sessions: two scenarios with 1000 trades each in every session of 24 h."""
    covered = [name for name, ms in coverage.window.session_ms(settings.session_hours).items() if ms]
    pairs = {(symbol, session): needed for symbol, session, needed in coverage.session_pairs(settings)}
    misses = coverage.session_misses(settings)
    fewest = min((coverage.scenes_seen(*pair, needed) for pair, needed in pairs.items()), default=None)
    told = [
        f"{symbol} {session} {seen} scenarios with {needed} trades"
        for (symbol, session), (seen, needed) in misses.items()
    ]
    if misses and not settings.write_session_labels:
        told.insert(0, "WRITE_SESSION_LABELS=false: rows have no session")
    if not covered:
        told.append("the window covers no session")
    if not told:
        told.append(f"at least {fewest} scenarios in {', '.join(covered)}" if pairs else "no pair is judged yet")
    asked = [(symbol, session) for session in covered for symbol in coverage.window.symbols]
    detail = "; ".join([some(told), *_waiting(" ".join(pair) for pair in asked if pair not in pairs)])
    return Gate("coverage_session", verdict_of(failed=misses, judged=pairs), fewest, SESSION_SCENES, detail)


def _waiting(names: Iterable[str], shown: int = 6) -> list[str]:
    """Return the sentence about what is not judged yet; nothing if everything is."""
    waiting = list(names)
    more = " ..." if len(waiting) > shown else ""
    return [f"not judged before an hour after warm-up: {', '.join(waiting[:shown])}{more}"] if waiting else []


def _sum(one: Mapping[Any, Counter[str]], other: Mapping[Any, Counter[str]]) -> dict[Any, Counter[str]]:
    keys = dict.fromkeys([*one, *other])
    return {key: one.get(key, Counter()) + other.get(key, Counter()) for key in keys}
