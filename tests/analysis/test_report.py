"""The report in a real browser: nothing fetched, no console error, every chart drawn, nothing wider than the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from ofi_cvd.analysis.parameters import Parameters
from ofi_cvd.analysis.run import analyse
from tests.analysis import planted

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    symbols = {
        name: planted.tables(2400, seed=k, symbol=name, books=2) for k, name in enumerate(["BTCUSDT", "ETHUSDT"])
    }
    parameters = Parameters(horizons_s=(1, 60), impact=True)
    return analyse(planted.write(folder / "d", symbols), parameters, folder, workers=1).folder / "report.html"


@pytest.fixture
def page() -> Iterator[Page]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()


def test_the_report_draws_every_chart_and_complains_of_nothing(report: Path, page: Page) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'")
    charts = page.locator(".js-plotly-plot")
    assert charts.count() == 12
    page.wait_for_function("[...document.querySelectorAll('.js-plotly-plot')].every(c => c.querySelector('.main-svg'))")
    marks = "c => c.querySelectorAll('.points path, .lines path, .heatmaplayer image, .hm image, .bars path').length"
    for k in range(charts.count()):
        chart = charts.nth(k)
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 900
        assert box["height"] > 100
        assert chart.evaluate(marks) > 0, chart.get_attribute("id")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    wide = "[...document.querySelectorAll('section')].filter(s => s.scrollWidth > s.clientWidth)"
    assert page.evaluate(f"{wide}.map(s => s.innerText.slice(0, 40))") == []
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_library_is_inlined_once(report: Path) -> None:
    text = report.read_text("utf-8")
    assert text.count('id="chart-library"') == 1
    assert len(text.encode()) < 1_200_000
    assert "https://" not in text
    assert "Benjamini-Hochberg" in text
