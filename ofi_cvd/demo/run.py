"""The demo from its first line to its last: three acts, each simulated or recorded, built, checked and shown."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from ofi_cvd.common.terminal import table
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.demo.folder import Act, fresh_folder
from ofi_cvd.demo.live import LiveFacts, log_path, record_through_a_kill
from ofi_cvd.demo.proof import book_gaps_s
from ofi_cvd.demo.show import flow_explains, show_tables, traded_window
from ofi_cvd.errors import RunError
from ofi_cvd.history.hftbacktest import import_hftbacktest
from ofi_cvd.publish.run import build
from ofi_cvd.quality.page import write_page
from ofi_cvd.quality.report import judge_window, write_documents
from ofi_cvd.quality.terminal import verdict
from ofi_cvd.quality.window import Window
from ofi_cvd.simulator import simulate_spool
from ofi_cvd.simulator.simulate import DEFAULT_START_MS

_CAPTURED: Final = ("BTCUSDT", "ETHUSDT")
_RATE: Final = 5.0  # the live market's activity: seconds are short


@dataclass(frozen=True)
class Plan:
    """What the demo does.

    Attributes:
        folder: everything is written below it.
        hours: length of the simulated recording.
        seconds: length of the live recording.
        seed: seed of the simulated markets.
        captures: folder with captures of the real exchange; left out where it is not there.
    """

    folder: Path
    hours: float
    seconds: float
    seed: int
    captures: Path


Facts = dict[str, object]


def run(plan: Plan, console: Console) -> Facts:
    """Play the acts; return what they found: `folder`, `simulated`, `live`, `captured` (None if left out), `seconds`.

    Raises:
        InputError: the folder is not the demo's.
        RunError: an id is missing or stored twice, or the recorder failed.
    """
    began = time.monotonic()
    root = fresh_folder(plan.folder)
    simulated, facts = _simulated(plan, root, console)
    live, captured = _live(plan, root, console), None
    captures = sorted(path for name in _CAPTURED for path in (plan.captures / "raw").glob(f"{name.lower()}_*.gz"))
    if captures:
        captured = _captured(captures, root, console)
    else:
        _say(console, f"\n3. Left out: no captures of the real exchange in {plan.captures}")
    _farewell(simulated, root, console)
    took_s = time.monotonic() - began
    _say(console, f"\nDone in {took_s:.0f} s.")
    told: Facts = {"folder": str(root), "simulated": facts, "live": live, "captured": captured}
    return told | {"seconds": round(took_s, 1)}


def _simulated(plan: Plan, root: Path, console: Console) -> tuple[Act, Facts]:
    act = Act.below(root, "simulated")
    symbols = act.settings.symbols
    _title(console, f"1. A simulated market: {plan.hours:g} h of {len(symbols)} symbols, built and checked")
    made = simulate_spool(act.settings.spool_dir, hours=plan.hours, symbols=symbols, seed=plan.seed)
    frames = sum(made.frames.values())
    _say(console, f"simulated {frames:,} frames, {made.bytes / 1e6:,.0f} MB, in {made.seconds:.1f} s")
    began = time.monotonic()
    build(act.settings)
    _say(console, f"built in {time.monotonic() - began:.1f} s\n")
    window = Window(DEFAULT_START_MS, DEFAULT_START_MS + round(plan.hours * HOUR_MS), symbols)
    show_tables(act.settings, window, console)
    report = judge_window(window, act.settings, charts=True)
    write_documents(report, act.settings.artifacts_dir)
    page = write_page(report, act.settings.artifacts_dir)
    _say(console, f"quality {verdict(report)}\nreport  {page}")
    return act, _places(act) | {"frames": frames, "bytes": made.bytes, "quality": verdict(report), "report": str(page)}


def _places(act: Act) -> Facts:
    return {"spool_dir": str(act.settings.spool_dir), "data_dir": str(act.settings.data_dir)}


def _live(plan: Plan, root: Path, console: Console) -> Facts:
    act = Act.below(root, "live")
    act.folder.mkdir(parents=True)
    _title(console, f"2. Recording live for {plan.seconds:g} s, with a kill -9 in the middle")
    facts = asyncio.run(
        record_through_a_kill(
            act, seconds=plan.seconds, rate=_RATE, seed=plan.seed, say=lambda text: _say(console, text)
        )
    )
    build(act.settings)
    console.print()
    _show_proof(facts, console)
    gaps = book_gaps_s(act.settings.spool_dir, act.settings.trade_stream)
    _say(console, f"trade ids missing: {facts.missing}, stored twice: {facts.duplicates}")
    if gaps:
        _say(
            console,
            f"books are never invented: the ledger declares {len(gaps)} holes of up to {max(gaps):.1f} s, "
            "and rows behind them say suspect",
        )
    show_tables(act.settings, traded_window(act.settings), console, scenarios=False)
    if facts.missing or facts.duplicates:
        raise RunError(
            f"expected every trade id once, found {facts.missing} missing and {facts.duplicates} stored twice: "
            f"see {log_path(act)}"
        )
    ids = {symbol: {"ids": after.ids, "by_rest": after.fetched} for symbol, after in facts.after.items()}
    losses = {"missing": facts.missing, "duplicates": facts.duplicates, "book_gaps_s": list(gaps)}
    return _places(act) | {"symbols": ids} | losses


def _show_proof(facts: LiveFacts, console: Console) -> None:
    listing = table(
        "Trade ids in the spool", "symbol", ">before the kill", ">at the end", ">by REST", ">missing", ">twice"
    )
    for symbol, after in facts.after.items():
        numbers = (
            facts.before[symbol].ids, after.ids, after.fetched, after.missing(facts.emitted[symbol]), after.duplicates
        )  # fmt: skip
        listing.add_row(symbol, *(f"{number:,}" for number in numbers))
    console.print(listing)


def _captured(captures: list[Path], root: Path, console: Console) -> Facts:
    act = Act.below(root, "capture", symbols=_CAPTURED, trade_stream="trade", book_streams=("bookTicker",))
    _title(console, "3. The real exchange: eight minutes of BTCUSDT and ETHUSDT across midnight")
    report = import_hftbacktest(captures, act.settings.spool_dir)
    build(act.settings)
    _say(
        console,
        f"imported {report.added.total():,} of {report.lines:,} lines of {len(captures)} files; "
        "the others are of streams that nothing is built from\n",
    )
    window = traded_window(act.settings)
    show_tables(act.settings, window, console, scenarios=False)
    _say(console, flow_explains(act.settings, window))
    return _places(act) | {"lines": report.lines, "imported": report.added.total()}


def _farewell(act: Act, root: Path, console: Console) -> None:
    ofi, data = _command(), _shell(act.settings.data_dir)
    spool, state = _shell(act.settings.spool_dir), _shell(act.settings.state_dir)
    question = "SELECT event_type, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC"
    _title(console, "Where to go from here")
    _say(
        console,
        f"Everything is below {root} (spool, ofi_cvd, state, artifacts of each act). Next:\n\n"
        f'  {ofi} sql --data-dir {data} "{question}"\n'
        f"  {ofi} status --spool-dir {spool} --data-dir {data} --state-dir {state}\n"
        f"  {ofi} collect --symbols BTCUSDT,ETHUSDT --run-hours 1     # the real exchange, into data/spool; then: {ofi} build",
    )


def _command() -> str:
    """Return how the reader calls us: `ofi` where it is on the path, else the script that runs now."""
    found = shutil.which("ofi")
    here = Path(sys.argv[0])
    if here.name not in {"ofi", "ofi.exe"}:
        return "python -m ofi_cvd"
    if found and Path(found).resolve() == here.resolve():
        return "ofi"
    try:
        return _shell(here.absolute().relative_to(Path.cwd()))
    except ValueError:
        return _shell(here)


def _shell(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text


def _title(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", markup=False, soft_wrap=True)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
