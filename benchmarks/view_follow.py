"""How soon `ofi view --follow` shows rows that a running harvest has just published: `python benchmarks/view_follow.py`.

Starts the built-in exchange, a harvest of two symbols and the page, waits for several slices of a minute, and prints the delay
from the publication of each (its file's time) to the frame that shows its last row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OFI = [sys.executable, "-m", "ofi_cvd"]
PORT = "9467"
# The newest instant that the frame on the screen shows, and when that frame was drawn, in ms since 1970.
STATE = """() => { const { view, shown } = window.ofiView;
  return [view.data ? view.data.lines.t.at(-1) ?? 0 : 0, shown ? performance.timeOrigin + shown.at : 0]; }"""


@contextlib.contextmanager
def running(*words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command of ours until the block ends."""
    with subprocess.Popen(
        [*OFI, *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def main() -> None:
    """Measure for some minutes and print one JSON document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=3)
    given = options.parse_args()
    symbols = ["--symbols", "BTCUSDT,ETHUSDT"]
    with tempfile.TemporaryDirectory() as name:
        cwd = Path(name)
        with (
            running("exchange", "--simulate", "--port", PORT, *symbols, cwd=cwd),
            running("harvest", "--endpoint", f"http://127.0.0.1:{PORT}", "--run-hours", "1", *symbols, cwd=cwd),
            running("view", "data/ofi_cvd", "--follow", "--no-open", "--port", "0", cwd=cwd) as view,
            sync_playwright() as playwright,
        ):
            url = view.stdout.readline().split(" at ")[1].split()[0] if view.stdout else ""
            chromium = next(
                path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path
            )
            page = playwright.chromium.launch(executable_path=chromium, args=FLAGS).new_page()
            page.goto(url)
            delays = watch(page, cwd / "data" / "ofi_cvd", time.time() + 90 + 60 * given.minutes)
            print(json.dumps({"slices": len(delays), "delays_s": [round(delay, 2) for delay in delays]}, indent=1))


def watch(page: Page, data: Path, until: float) -> list[float]:
    """Return the seconds from each publication to the frame that shows its last row."""
    seen: set[Path] = set()
    waiting: dict[Path, tuple[float, int]] = {}
    delays: list[float] = []
    while time.time() < until:
        for path in set(data.glob("date=*/symbol=BTCUSDT/kind=ofi/part-*.parquet")) - seen:
            seen.add(path)
            last = pl.read_parquet(path, columns=["ts_ms"])["ts_ms"].max()
            waiting[path] = (path.stat().st_mtime, int(str(last)))
        newest, drawn_ms = page.evaluate(STATE)
        for path, (published, last) in list(waiting.items()):
            if newest >= last:
                delays.append(drawn_ms / 1000 - published)
                del waiting[path]
        time.sleep(0.05)
    return delays


if __name__ == "__main__":
    main()
