"""The gates: figures in, verdicts out. What is not there never passes; what a window cannot show yet is not judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.quality.completeness import book_minutes, slices_complete
from ofi_cvd.quality.coverage import Coverage, judge_scenes, judge_sessions
from ofi_cvd.quality.figures import Figures
from ofi_cvd.quality.verdicts import Gate, clock, pass_or_fail, some, verdict_of
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings

EMPTY_MINUTE_RATE: Final = 0.001
DUPLICATE_RATE: Final = 0.005
LATENCY_P50_MS: Final = 60.0
LATENCY_P99_MS: Final = 120.0
SIGNALS: Final = 1000  # per 72 h and six symbols
SIGNALS_FULL_MS: Final = 6 * 72 * HOUR_MS


def judge(figures: Figures, window: Window, settings: Settings, coverage: Coverage) -> tuple[Gate, ...]:
    """Return the verdict of every gate, in the order of the reports."""
    gates: tuple[Callable[[Figures, Window, Settings], Gate], ...] = (
        _empty_minutes,
        book_minutes,
        slices_complete,
        _duplicates,
        _trade_ids,
        _latency,
        _signals,
        _winsor,
    )
    return (
        *(gate(figures, window, settings) for gate in gates),
        judge_scenes(coverage, settings, active_hints(figures, settings)),
        judge_sessions(coverage, settings),
    )


def _empty_minutes(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("empty_minutes")
    worst = max(rows, key=lambda row: float(row["empty_minute_rate"]))
    bad = [row for row in rows if row["empty_minute_rate"] >= EMPTY_MINUTE_RATE]
    told = [
        f"{row['symbol']} {row['empty_minutes']} of {row['minutes']}, first at {clock(row['first_empty_ms'])}"
        for row in bad
    ]
    detail = (
        f"minutes without a trade: {some(told)}"
        if bad
        else f"{worst['minutes']} minutes, at most {worst['empty_minutes']} of a symbol without a trade"
    )
    return Gate("empty_minutes", pass_or_fail(failed=bad), worst["empty_minute_rate"], EMPTY_MINUTE_RATE, detail)


def _duplicates(figures: Figures, _window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("duplicates_stored")
    if not rows:
        return Gate("duplicates", "fail", None, DUPLICATE_RATE, "no rows stored")
    worst = max(rows, key=lambda row: float(row["duplicate_rate"]))
    bad = [row for row in rows if row["duplicate_rate"] >= DUPLICATE_RATE]
    told = [f"{row['symbol']} {row['kind']} {row['duplicates']} of {row['n']} rows" for row in bad]
    detail = (
        f"stored more than once: {some(told)}"
        if bad
        else f"{sum(row['duplicates'] for row in rows)} rows stored more than once"
    )
    return Gate("duplicates", pass_or_fail(failed=bad), worst["duplicate_rate"], DUPLICATE_RATE, detail)


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
            first = clock(row["first_gap_ms"])
            told.append(f"{symbol} {row['trade_ids_missing']} in {row['trade_gaps']} gaps, first at {first}")
        if row["epochs_opened"]:
            missing += row["epochs_opened"]  # an unknown number each, at least one
            told.append(
                f"{symbol} ids began anew {row['epochs_opened']} times, first at {clock(row['first_opening_ms'])}"
            )
        if absent:
            told.append(f"{symbol} {absent} absent and not declared")
    detail = f"missing: {some(told)}" if told else "no id is missing"
    if not_admitted:
        detail += f"; {not_admitted} were received and not admitted"
    return Gate("trade_ids", pass_or_fail(failed=told), missing if rows else None, 0, detail)


def _latency(figures: Figures, window: Window, _settings: Settings) -> Gate:
    limits: dict[str, float | None] = {"p50": LATENCY_P50_MS, "p99": LATENCY_P99_MS}
    rows = {symbol: row for symbol, row in figures.by_symbol("latency").items() if row["n"]}
    clock = figures.rows("clock")[0]
    absent = [symbol for symbol in window.symbols if symbol not in rows]
    if not rows:
        return Gate("latency", "fail", None, limits, "no trade with a latency")
    raw = {name: max(float(row[name]) for row in rows.values()) for name in ("p50", "p99")}
    as_recorded = f"as recorded p50 {raw['p50']:.1f} ms, p99 {raw['p99']:.1f} ms of the slowest symbol"
    if clock["offset_ms"] is None:
        detail = f"no clock records, so the true latency is not known; {as_recorded}"
        return Gate("latency", "fail", None, limits, detail)
    value: dict[str, float | None] = {name: figure + clock["offset_ms"] for name, figure in raw.items()}
    bad = [
        f"{symbol} p50 {row['p50'] + clock['offset_ms']:.1f} ms, p99 {row['p99'] + clock['offset_ms']:.1f} ms"
        for symbol, row in rows.items()
        if not (row["p50"] + clock["offset_ms"] < LATENCY_P50_MS and row["p99"] + clock["offset_ms"] < LATENCY_P99_MS)
    ] + [f"{symbol} none" for symbol in absent]
    detail = f"{as_recorded}; clock offset {clock['offset_ms']:+.1f} ms from {clock['n']} measurements"
    return Gate("latency", pass_or_fail(failed=bad), value, limits, f"{some(bad)}; {detail}" if bad else detail)


def _signals(figures: Figures, window: Window, _settings: Settings) -> Gate:
    rows = figures.rows("signals")
    total = sum(row["n"] for row in rows)
    needed = needed_signals(window)
    types = len({row["event_type"] for row in rows})
    detail = f"{total} events of {types} types in {window.hours:.4g} h of {len(window.symbols)} symbols"
    if needed < 1:
        return Gate("signals", "not_yet", total, needed, f"{detail}; judged once at least one is to be expected")
    return Gate("signals", pass_or_fail(failed=total < needed), total, needed, detail)


def needed_signals(window: Window) -> int:
    """Return how many events the run should have: 1000 per 72 h and six symbols; 0 while that is less than one."""
    expected = SIGNALS * window.length_ms * len(window.symbols)
    return math.ceil(expected / SIGNALS_FULL_MS) if expected >= SIGNALS_FULL_MS else 0


def _winsor(figures: Figures, window: Window, settings: Settings) -> Gate:
    rows = figures.by_symbol("winsor")
    told = [f"{symbol} no rows" for symbol in window.symbols if symbol not in rows]
    nulls = "half_nulls" if settings.z_mode == "level" else "nulls"
    waiting = [symbol for symbol, row in rows.items() if not row["rows_after_warm_up"]]
    for symbol, row in rows.items():
        if row[nulls]:
            told.append(f"{symbol} {row[nulls]} rows with nulls after warm-up")
    told += [
        f"{row['symbol']} {row['kind']} {row['n']} rows with NaN or infinite values"
        for row in figures.rows("not_finite")
    ]
    clipped = sum(row["winsorised"] for row in rows.values())
    judged = len(rows) > len(waiting)
    if judged and not clipped:
        told.append("no |z_raw| above |z_cvd|: the limit never acted")
    sound = f"no nulls after warm-up, {clipped} rows clipped" if judged else "every symbol is in warm-up"
    detail = some(told) if told else sound
    if waiting:
        detail += f"; not judged before {settings.mad_min_trades} trades: {', '.join(waiting)}"
    return Gate("winsor", verdict_of(failed=told, judged=judged), clipped, 1, detail)


def active_hints(figures: Figures, settings: Settings) -> list[str]:
    """Return a sentence for each symbol that is never Quiet: its slowest window and the setting."""
    slowest = figures.by_symbol("slowest_window")
    hints = []
    for symbol, row in figures.by_symbol("coverage_scene").items():
        if row["active"] and not row["quiet"] and symbol in slowest:
            found = slowest[symbol]
            hints.append(
                f"{symbol} is never Quiet: its slowest {settings.win_secs} s, ending {clock(found['slowest_end_ms'])}, "
                f"had {found['slowest_tps']:.2f} trades/s, above the ACTIVE_TPS of now ({settings.active_tps}); "
                f"ACTIVE_TPS={symbol}=q0.5 takes the median of its own rate"
            )
    return hints
