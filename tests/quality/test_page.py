"""The page in a real browser: no error, no request, every chart drawn."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from ofi_cvd.quality import charts
from ofi_cvd.quality.page import render, write_page
from ofi_cvd.quality.report import Report, judge_window
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from tests.quality.synthetic import START_MS, Market, hole, ledger, publish, with_fault

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
MARKET = with_fault(Market(hours=2, tps=1), hole(3000, 900, declared=True))
MARKS = """chart => [...chart.querySelectorAll(
    '.scatterlayer path, .barlayer path, .annotation-text')].filter(mark => {
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


def look(
    browser: Browser, path: Path, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> tuple[dict[str, int], list[str], list[str], str]:
    """Return marks by chart, console messages, requests, and the page's text; nothing may be wider than the page."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
    charts = page.locator(".js-plotly-plot")
    marks = {}
    for i in range(charts.count()):
        charts.nth(i).locator(".main-svg").first.wait_for()
        marks[charts.nth(i).get_attribute("id") or ""] = charts.nth(i).evaluate(MARKS)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"expected a page that fits {width} px, found {wide}"
    cut = "[...document.querySelectorAll('section')].filter(s => s.scrollWidth > s.clientWidth).map(s => s.innerText)"
    assert page.evaluate(cut) == []
    assert page.locator(".modebar:visible").count() == 0
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


@pytest.mark.parametrize(("width", "scheme"), [(800, "light"), (390, "dark")])
def test_the_page_fits_narrow_screens(
    browser: Browser, report: Report, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    marks, messages, _, _ = look(browser, write_page(report, tmp_path), width, scheme)
    assert min(marks.values()) > 0, marks
    assert messages == []
    assert 'data-name="minutes without a book"' in render(report)  # a column's name stands beside its value


def test_a_zoom_moves_every_time_axis_and_y_fits(browser: Browser, report: Report, tmp_path: Path) -> None:
    """One chart is zoomed: the others follow, their y axes show what is in sight; the button shows the whole window."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(write_page(report, tmp_path).as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
    start = report.window.start_ms + 1_800_000
    number = "v => +new Date(v + 'Z') || +v"
    read = f"id => ['xaxis', 'yaxis'].map(a => document.getElementById(id)._fullLayout[a].range.map({number}))"
    x_before, y_before = page.evaluate(read, "chart-price-BTCUSDT")
    page.evaluate(
        "([a, b]) => Plotly.relayout('chart-latency', {'xaxis.range[0]': a, 'xaxis.range[1]': b})",
        [start, start + 600_000],
    )
    page.wait_for_function("() => document.getElementById('chart-price-ETHUSDT').busy === false")
    x_after, y_after = page.evaluate(read, "chart-price-BTCUSDT")
    assert x_after[1] - x_after[0] == 600_000 < x_before[1] - x_before[0]
    assert y_after[1] - y_after[0] < y_before[1] - y_before[0]
    page.locator(".reset").first.click()
    whole = f"id => {{ const [a, b] = ({read})(id)[0]; return b - a > 600000; }}"
    page.wait_for_function(whole, arg="chart-price-BTCUSDT")
    page.close()


def test_only_an_outage_breaks_a_line(tmp_path: Path) -> None:
    """Minutes without a trade are bridged; a declared outage is a hole."""
    publish(tmp_path, MARKET)
    outage = {"start_ms": START_MS + 3_000_000, "end_ms": START_MS + 3_900_000}
    ledger(tmp_path, START_MS + 3_900_000, "gap", symbol="BTCUSDT", stream="aggTrade", **outage)
    drawn = charts.price(report_of(tmp_path, MARKET), "BTCUSDT", 0)
    assert list(drawn.data[0].y).count(None) == 1
    publish(tmp_path / "quiet", MARKET)
    drawn = charts.price(report_of(tmp_path / "quiet", MARKET), "BTCUSDT", 0)
    assert list(drawn.data[0].y).count(None) == 0


def test_cells_that_are_not_judged_have_no_colour(report: Report) -> None:
    """Two hours, of which less than one is judged."""
    for draw in (charts.scene_heat_map, charts.session_heat_map):
        figure = draw(report)
        assert {value for row in figure.data[0].z for value in row} == {None}
        assert "ot judged yet" in figure.layout.meta["note"]


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
    assert page.count('id="chart-library"') == 1
    assert len(page.encode()) < 1_200_000
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=\"(?!data:)", outside)
    assert "<script>alert" not in outside
    assert outside.index('class="verdict') < outside.index('id="gates"') < outside.index('id="symbols"')


def test_the_same_report_gives_the_same_page(report: Report) -> None:
    """Nothing of the moment is in the page."""
    assert render(report) == render(report)
