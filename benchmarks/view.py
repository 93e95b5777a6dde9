"""How fast the page of `ofi view` is: navigation to a drawn day, and 200 random pans and zooms, in headless Chromium.

python benchmarks/view.py                    simulates and builds a week of two symbols first (about ten minutes)
python benchmarks/view.py --data DATA_DIR    measures a dataset that is there
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DAY_MS = 86_400_000
# Do one gesture and resolve with the milliseconds until the frame that shows its range is drawn.
GESTURE = """([start, end]) => new Promise(done => {
  const from = performance.now(), before = window.ofiView.shown.at;
  window.ofiView.go(start, end, 0);
  const wait = () => {
    const { shown } = window.ofiView;
    if (shown.at > before) done(shown.at - from); else requestAnimationFrame(wait);
  };
  requestAnimationFrame(wait);
})"""


def main() -> None:
    """Measure and print one JSON document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path)
    options.add_argument("--hours", type=float, default=168)
    options.add_argument("--gestures", type=int, default=200)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or simulated(Path(folder), given.hours)
        command = [sys.executable, "-m", "ofi_cvd", "view", str(data), "--no-open", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                url = server.stdout.readline().split(" at ")[1].split()[0] if server.stdout else ""
                print(json.dumps(measure(url, psutil.Process(server.pid), given.gestures), indent=1))
            finally:
                server.terminate()


def simulated(folder: Path, hours: float) -> Path:
    """Return a simulated dataset of two symbols."""
    names = {"--spool-dir": folder / "spool", "--data-dir": folder / "data", "--state-dir": folder / "state"}
    symbols = ["--symbols", "BTCUSDT,ETHUSDT"]
    ofi = [sys.executable, "-m", "ofi_cvd"]
    subprocess.run(
        [*ofi, "simulate", "--hours", str(hours), "--seed", "7", "--out", str(folder / "spool"), *symbols], check=True
    )
    folders = [str(word) for pair in names.items() for word in pair]
    subprocess.run([*ofi, "build", *symbols, *folders], check=True)
    shutil.rmtree(folder / "spool")
    return folder / "data"


def measure(url: str, server: psutil.Process, gestures: int) -> dict[str, object]:
    """Open the last day twice (the first warms the server), then pan and zoom at random."""
    with sync_playwright() as playwright:
        chromium = next(path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        cold, *warm = [opened(page, url) for _ in range(6)]
        span = page.evaluate("window.ofiView.view.span()")
        page.wait_for_timeout(1000)
        chance = random.Random(7)  # noqa: S311  # the same gestures each time
        roam(page, chance, span, gestures)  # the server has seen the hours once
        before = server.memory_info().rss
        times = roam(page, chance, span, gestures)
        after = server.memory_info().rss
        browser.close()
    ranked = sorted(times)
    return {
        "navigation_cold_ms": round(cold),
        "navigation_warm_ms": round(statistics.median(warm)),
        "gesture_p50_ms": round(ranked[len(ranked) // 2]),
        "gesture_p95_ms": round(ranked[int(len(ranked) * 0.95)]),
        "gesture_max_ms": round(ranked[-1]),
        "server_rss_mb": [round(before / 1e6), round(after / 1e6)],
    }


def opened(page: Page, url: str) -> float:
    """Return the milliseconds from navigation to the frame in which every pane of a day is drawn."""
    page.goto(url)
    page.wait_for_selector("html[data-shown]", state="attached")
    return float(page.evaluate("window.ofiView.shown.at"))


def roam(page: Page, chance: random.Random, span: dict[str, int], gestures: int) -> list[float]:
    """Return the times of random pans and zooms from seconds to the whole dataset."""
    first, last = span["start_ms"], span["end_ms"]
    start, end = last - DAY_MS, last
    found = []
    for _ in range(gestures):
        length, middle = end - start, (start + end) / 2
        if chance.random() < 0.6:
            middle += length * chance.choice([-1, -0.25, 0.25, 1])
        else:
            length *= chance.choice([0.25, 0.5, 2, 4])
        length = min(max(length, 5_000), last - first)
        middle = min(max(middle, first + length / 2), last - length / 2)
        start, end = round(middle - length / 2), round(middle + length / 2)
        found.append(float(page.evaluate(GESTURE, [start, end])))
    return found


if __name__ == "__main__":
    main()
