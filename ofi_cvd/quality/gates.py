"""The nine gates of SPEC 13: figures in, verdicts out. What is not there never passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ofi_cvd.common.times import iso_time
from ofi_cvd.quality.figures import Figures, Row
from ofi_cvd.quality.window import Window, scaled
from ofi_cvd.settings import Settings

EMPTY_MINUTE_RATE: Final = 0.001
DUPLICATE_RATE: Final = 0.005
LATENCY_P50_MS: Final = 60.0
LATENCY_P99_MS: Final = 120.0
SIGNALS: Final = 1000  # per 72 h and six symbols
SCENE_ROWS: Final = 2000  # per 72 h
SCENE_SHARE: Final = 0.05
SESSION_ROWS: Final = 1000  # per 24 h within the session, which is 72 h of run
SESSION_SCENES: Final = 2
FULL_HOURS: Final = 72.0
SCENES: Final = {"A_H": "a_h", "A_L": "a_l", "Q_H": "q_h", "Q_L": "q_l"}

Value = float | int | dict[str, float | None] | None


@dataclass(frozen=True)
class Gate:
    """One verdict.

    Attributes:
        value: the figure that was compared, of the worst symbol; null if there is none.
        threshold: what it was compared with.
        detail: one sentence: what was found, and where it failed.
    """

    name: str
    passed: bool
    value: Value
    threshold: Value
    detail: str


def judge(figures: Figures, window: Window, settings: Settings) -> tuple[Gate, ...]:
    """Return the verdict of every gate, in the order of SPEC 13."""
    gates: tuple[Callable[[Figures, Window, Settings], Gate], ...] = (
        _empty_minutes,
        _slices_complete,
        _duplicates,
        _trade_ids,
        _latency,
        _signals,
        _winsor,
        _coverage_scene,
        _coverage_session,
    )
    return tuple(gate(figures, window, settings) for gate in gates)


def run_tag(gates: tuple[Gate, ...]) -> str:
    """Return `ok`, `insufficient_coverage` (only coverage gates failed) or `failed_gates`."""
    failed = [gate.name for gate in gates if not gate.passed]
    if not failed:
        return "ok"
    return "insufficient_coverage" if all(name.startswith("coverage_") for name in failed) else "failed_gates"


def _empty_minutes(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("empty_minutes")
    worst = max(rows, key=lambda row: float(row["empty_minute_rate"]))
    bad = [row for row in rows if row["empty_minute_rate"] >= EMPTY_MINUTE_RATE]
    told = [
        f"{row['symbol']} {row['empty_minutes']} of {row['minutes']}, first at {_clock(row['first_empty_ms'])}"
        for row in bad
    ]
    detail = (
        f"minutes without a trade: {_some(told)}"
        if bad
        else f"{worst['minutes']} minutes, at most {worst['empty_minutes']} of a symbol without a trade"
    )
    return Gate("empty_minutes", not bad, worst["empty_minute_rate"], EMPTY_MINUTE_RATE, detail)


def _slices_complete(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    missing, wrong = figures.rows("slices_missing"), figures.rows("slices_wrong")
    told = [f"{row['symbol']} {_clock(row['start_ms'])} not published" for row in missing]
    told += [
        f"{row['symbol']} {row['kind']} {_clock(row['start_ms'])} "
        f"{row['stored_rows']} rows stored of {row['published_rows']} published"
        for row in wrong
    ]
    source = "" if figures.published.origin == "checkpoint" else " (no checkpoint: judged by the files alone)"
    detail = (_some(told) if told else "every slice is published and stored as published") + source
    return Gate("slices_complete", not told, len(told), 0, detail)


def _duplicates(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("duplicates_stored")
    if not rows:
        return Gate("duplicates", passed=False, value=None, threshold=DUPLICATE_RATE, detail="no rows stored")
    worst = max(rows, key=lambda row: float(row["duplicate_rate"]))
    bad = [row for row in rows if row["duplicate_rate"] >= DUPLICATE_RATE]
    told = [f"{row['symbol']} {row['kind']} {row['duplicates']} of {row['n']} rows" for row in bad]
    detail = (
        f"stored more than once: {_some(told)}"
        if bad
        else f"{sum(row['duplicates'] for row in rows)} rows stored more than once"
    )
    return Gate("duplicates", not bad, worst["duplicate_rate"], DUPLICATE_RATE, detail)


def _trade_ids(figures: Figures, window: Window, settings: Settings) -> Gate:
    rows = figures.by_symbol("trade_ids")
    told = [f"{symbol} no trades" for symbol in window.symbols if symbol not in rows]
    looked_up = {row["symbol"]: row for row in figures.absent.to_dicts()} if figures.absent is not None else {}
    missing = not_admitted = 0
    for symbol, row in rows.items():
        absent = row["ids_absent"]
        if symbol in looked_up:  # what the spool has was seen, and is not in the tables because it was not admitted
            absent, received = (looked_up[symbol][name] for name in ("absent", "received"))
            not_admitted += received
            absent -= received
        elif settings.trade_stream == "trade":  # its placeholder rows use up ids: an absent id proves nothing
            absent = 0
        missing += row["trade_ids_missing"] + absent
        if row["trade_ids_missing"]:
            first = _clock(row["first_gap_ms"])
            told.append(f"{symbol} {row['trade_ids_missing']} in {row['trade_gaps']} gaps, first at {first}")
        if absent:
            told.append(f"{symbol} {absent} absent and not declared")
    detail = f"missing: {_some(told)}" if told else "no id is missing"
    if not_admitted:
        detail += f"; {not_admitted} were received and not admitted"
    return Gate("trade_ids", not told, missing if rows else None, 0, detail)


def _latency(figures: Figures, window: Window, _settings: Settings) -> Gate:
    limits: dict[str, float | None] = {"p50": LATENCY_P50_MS, "p99": LATENCY_P99_MS}
    rows = {symbol: row for symbol, row in figures.by_symbol("latency").items() if row["n"]}
    clock = figures.rows("clock")[0]
    absent = [symbol for symbol in window.symbols if symbol not in rows]
    if not rows:
        return Gate("latency", passed=False, value=None, threshold=limits, detail="no trade with a latency")
    raw = {name: max(float(row[name]) for row in rows.values()) for name in ("p50", "p99")}
    as_recorded = f"as recorded p50 {raw['p50']:.1f} ms, p99 {raw['p99']:.1f} ms of the slowest symbol"
    if clock["offset_ms"] is None:
        detail = f"no clock records, so the true latency is not known; {as_recorded}"
        return Gate("latency", passed=False, value=None, threshold=limits, detail=detail)
    value: dict[str, float | None] = {name: figure + clock["offset_ms"] for name, figure in raw.items()}
    bad = [
        f"{symbol} p50 {row['p50'] + clock['offset_ms']:.1f} ms, p99 {row['p99'] + clock['offset_ms']:.1f} ms"
        for symbol, row in rows.items()
        if not (row["p50"] + clock["offset_ms"] < LATENCY_P50_MS and row["p99"] + clock["offset_ms"] < LATENCY_P99_MS)
    ] + [f"{symbol} none" for symbol in absent]
    detail = f"{as_recorded}; clock offset {clock['offset_ms']:+.1f} ms from {clock['n']} measurements"
    return Gate("latency", not bad, value, limits, f"{_some(bad)}; {detail}" if bad else detail)


def _signals(figures: Figures, window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("signals")
    total = sum(row["n"] for row in rows)
    needed = scaled_signals(window)
    types = len({row["event_type"] for row in rows})
    detail = f"{total} events of {types} types in {window.hours:.4g} h of {len(window.symbols)} symbols"
    return Gate("signals", total >= needed, total, needed, detail)


def scaled_signals(window: Window) -> int:
    """Return how many events the run should have: 1000 per 72 h and six symbols."""
    return max(1, round(SIGNALS * window.hours / FULL_HOURS * len(window.symbols) / 6))


def _winsor(figures: Figures, window: Window, settings: Settings) -> Gate:
    rows = figures.by_symbol("winsor")
    told = [f"{symbol} no rows" for symbol in window.symbols if symbol not in rows]
    nulls = "half_nulls" if settings.z_mode == "level" else "nulls"
    for symbol, row in rows.items():
        if row[nulls]:
            told.append(f"{symbol} {row[nulls]} rows with nulls after warm-up")
        if not row["rows_after_warm_up"]:
            told.append(f"{symbol} still in warm-up")
    told += [
        f"{row['symbol']} {row['kind']} {row['n']} rows with NaN or infinite values"
        for row in figures.rows("not_finite")
    ]
    clipped = sum(row["winsorised"] for row in rows.values())
    if rows and not clipped:
        told.append("no |z_raw| above |z_cvd|: the limit never acted")
    detail = _some(told) if told else f"no nulls after warm-up, {clipped} rows clipped"
    return Gate("winsor", not told, clipped, 1, detail)


def scene_misses(figures: Figures, window: Window) -> dict[str, list[str]]:
    """Return the scenarios each symbol has too few trades in; symbols without such scenarios are left out."""
    needed = scaled(SCENE_ROWS, window.hours / FULL_HOURS)
    found = {}
    for symbol, row in figures.by_symbol("coverage_scene").items():
        easiest = max(1.0, min(needed, SCENE_SHARE * row["n"]))
        short = [name for name, column in SCENES.items() if row[column] < easiest]
        if short:
            found[symbol] = short
    return found


def _coverage_scene(figures: Figures, window: Window, settings: Settings) -> Gate:
    misses = scene_misses(figures, window)
    rows = figures.by_symbol("coverage_scene")
    told = [f"{symbol} lacks {', '.join(short)} ({rows[symbol]['n']} trades)" for symbol, short in misses.items()]
    told += active_hints(figures, settings)
    detail = "; ".join(told) if told else "every symbol has trades enough in every scenario"
    needed = scaled(SCENE_ROWS, window.hours / FULL_HOURS)
    detail += f"; needed: {needed} trades or {SCENE_SHARE:.0%} of the symbol's"
    return Gate("coverage_scene", not misses, sum(len(short) for short in misses.values()), 0, detail)


def active_hints(figures: Figures, settings: Settings) -> list[str]:
    """Return a sentence for each symbol that is never Quiet: its slowest window and the setting (SPEC 8)."""
    slowest = figures.by_symbol("slowest_window")
    hints = []
    for symbol, row in figures.by_symbol("coverage_scene").items():
        if row["active"] and not row["quiet"] and symbol in slowest:
            found = slowest[symbol]
            hints.append(
                f"{symbol} is never Quiet: its slowest {settings.win_secs} s, ending {_clock(found['slowest_end_ms'])}, "
                f"had {found['slowest_tps']:.2f} trades/s; set ACTIVE_TPS above that, "
                f"such as {symbol}=q0.5 (now {settings.active_tps})"
            )
    return hints


def _coverage_session(figures: Figures, window: Window, settings: Settings) -> Gate:
    covered = {name: hours for name, hours in window.session_hours(settings.session_hours).items() if hours}
    if not settings.write_session_labels:
        detail = "WRITE_SESSION_LABELS=false: rows have no session"
        return Gate("coverage_session", passed=False, value=None, threshold=SESSION_SCENES, detail=detail)
    found: dict[tuple[str, str], Row] = {
        (row["symbol"], row["session"]): row for row in figures.rows("coverage_session")
    }
    told, fewest = [], len(SCENES)
    for symbol in window.symbols:
        for session, hours in covered.items():
            needed = scaled(SESSION_ROWS, hours / 24)
            row = found[symbol, session]
            scenes = sum(row[column] >= needed for column in SCENES.values())
            fewest = min(fewest, scenes)
            if scenes < SESSION_SCENES:
                told.append(f"{symbol} {session} {scenes} scenarios with {needed} trades")
    if not covered:
        told.append("the run covered no session")
    detail = _some(told) if told else f"every symbol has at least {fewest} scenarios in {', '.join(covered)}"
    return Gate("coverage_session", not told, fewest if covered else None, SESSION_SCENES, detail)


def _some(told: list[str], shown: int = 4) -> str:
    more = f" and {len(told) - shown} more" if len(told) > shown else ""
    return "; ".join(told[:shown]) + more


def _clock(ms: int | None) -> str:
    return "outside every slice" if ms is None else iso_time(ms)
