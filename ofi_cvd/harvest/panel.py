"""What a run looks like on a terminal: per symbol rate, latency, last slice, scenario, gaps; gates so far; alerts."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from ofi_cvd.collect.panel import span
from ofi_cvd.collect.stats import StreamStats
from ofi_cvd.common.terminal import table
from ofi_cvd.common.times import utc
from ofi_cvd.harvest.run_state import RunState


def panel(state: RunState, recent: Iterable[str], now_ms: int) -> Group:
    """Return the panel for what is known at `now_ms`."""
    run = state.run
    listing = table("", "symbol", ">trades/s", ">books/s", ">p50 ms", ">p99 ms", ">last slice", "scenario", ">gaps",
                    ">missing", ">breaks", ">dropped")  # fmt: skip
    for symbol in run.symbols:
        trades = state.stats.streams.get((symbol, state.settings.trade_stream), StreamStats())
        books = [one for (owner, _), one in state.stats.streams.items() if owner == symbol and one is not trades]
        p50, p99 = trades.latency_ms.quantile(0.5), trades.latency_ms.quantile(0.99)
        listing.add_row(
            symbol, f"{trades.rate:.1f}", f"{sum(one.rate for one in books):.1f}", _number(p50), _number(p99),
            _time(state.published_to.get(symbol)), state.scenario.get(symbol) or "-", str(trades.gaps),
            str(max(0, trades.missing - trades.repaired)), str(sum(one.breaks for one in books)),
            str(trades.dropped + sum(one.dropped for one in books)),
        )  # fmt: skip
    lines: list[RenderableType] = [Text(_headline(state, now_ms), style="bold"), listing, _gates(state)]
    for name, labels in state.alerts.firing():
        where = " ".join(value for label, value in labels if label != "kind")
        lines.append(Text(f"ALERT {name} {where}", style="bold red"))
    lines += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in recent]
    return Group(*lines)


def _headline(state: RunState, now_ms: int) -> str:
    run = state.run
    done = min(1.0, max(0.0, (now_ms - run.start_ms) / (run.end_ms - run.start_ms)))
    window = f"{_time(run.start_ms)} to {_time(run.end_ms)} UTC"
    begins_s = (run.start_ms - now_ms) / 1000
    when = f"starts in {begins_s:.0f} s" if begins_s > 0 else f"{done:.1%}  {span((run.end_ms - now_ms) / 1000)} left"
    return (
        f"harvest {run.stamp}  {window}  {when}  connections {state.stats.connections}  "
        f"reconnects {state.stats.reconnects}  behind {state.lag_s(now_ms):.0f} s  "
        "Ctrl-C stops it cleanly"
    )


def _gates(state: RunState) -> Text:
    if not state.gates:
        return Text("gates so far: not judged yet", style="dim")
    text = Text(f"gates so far ({state.run_tag}): ")
    styles = {"pass": "green", "fail": "red"}
    for name, verdict in state.gates.items():
        text.append(f"{name.upper() if verdict == 'fail' else name} ", style=styles.get(verdict, "dim"))
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _time(ms: int | None) -> str:
    return "-" if not ms else f"{utc(ms):%m-%d %H:%M:%S}"
