"""The page in a real browser: no error, no request, every chart drawn."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from ofi_cvd.quality.page import render, write_page
from ofi_cvd.quality.report import Report, judge_window
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from tests.quality.synthetic import Market, hole, publish, with_fault

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
MARKET = with_fault(Market(hours=2, tps=1), hole(3000, 900, declared=True))
MARKS = """chart => [...chart.querySelectorAll(
    '.scatterlayer path, .barlayer path, .heatmaplayer image, .heatmaplayer path')].filter(mark => {
    const box = mark.getBoundingClientRect();
    return box.width + box.height > 0;
}).length"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page cannot be looked at")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def report_of(root: Path, market: Market) -> Report:
    settings = Settings(
        symbols=market.symbols, data_dir=root / "ofi_cvd", spool_dir=root / "spool", state_dir=root / "state"
    )
    return judge_window(Window(market.start_ms, market.end_ms, market.symbols), settings)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("page")
    publish(root, MARKET)
    return report_of(root, MARKET)


def look(browser: Browser, path: Path) -> tuple[dict[str, int], list[str], list[str], str]:
    """Return marks by chart, console messages, requests, and the page's text."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    charts = page.locator(".plotly-graph-div")
    marks = {}
    for i in range(charts.count()):
        charts.nth(i).locator(".main-svg").first.wait_for()
        marks[charts.nth(i).get_attribute("id") or ""] = charts.nth(i).evaluate(MARKS)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 1280, f"expected a page that fits 1280 px, found {wide}"
    text = page.inner_text("main")
    page.close()
    return marks, messages, [url for url in requests if not url.startswith(("file:", "data:"))], text


def test_every_chart_draws_without_network(browser: Browser, report: Report, tmp_path: Path) -> None:
    """Each chart has marks of data, the console is silent, nothing is requested."""
    marks, messages, requests, text = look(browser, write_page(report, tmp_path))
    assert set(marks) == {f"chart-{name}" for name in ("scene", "session", "latency", "timeline", "z")} | {
        "chart-price-BTCUSDT",
        "chart-price-ETHUSDT",
    }
    assert min(marks.values()) > 0, marks
    assert (messages, requests) == ([], [])
    assert next(line for line in text.splitlines() if ":" in line).startswith(
        "FAIL: 2 of 10 gates failed (empty_minutes, trade_ids)"
    )


def test_a_page_about_nothing_says_so(browser: Browser, tmp_path: Path) -> None:
    """An empty window gives a page without charts, with the verdict and the reason."""
    path = write_page(report_of(tmp_path, MARKET), tmp_path)
    marks, messages, requests, text = look(browser, path)
    assert (marks, messages, requests) == ({}, [], [])
    assert "FAIL: 10 of 10 gates failed" in text
    assert "The window has no rows at all." in text
    assert text.count("No rows in the window.") == 7


def test_the_library_is_inlined_once_and_the_text_is_escaped(report: Report) -> None:
    """One copy of the charts' script; what comes from data cannot become markup."""
    page = render(report)
    assert page.count("plotly.js v") == 1
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=\"(?!data:)", outside)
    assert "<script>alert" not in outside
    assert outside.index('class="verdict') < outside.index('id="gates"') < outside.index('id="symbols"')


def test_the_same_report_gives_the_same_page(report: Report) -> None:
    """Nothing of the moment is in the page."""
    assert render(report) == render(report)
