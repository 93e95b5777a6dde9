"""The page in a real browser: every pane drawn, keys and address, and what it shows equals the tables."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from playwright.sync_api import Browser, Page

from ofi_cvd.dataset.reader import Dataset
from ofi_cvd.schemas import TABLES
from ofi_cvd.view.buckets import label
from tests.view.conftest import GAP, QUIET, SECONDS, Served, at

SIZES = [(1280, 800), (800, 700), (390, 844)]
PANES = ["price", "cvd", "ofi", "score", "rate", "spread", *(["depth"] if "depth_bid" in TABLES["ofi"].schema else [])]
# The number of colours in each pane's canvas: a pane that drew nothing has very few.
COLORS = """() => Object.fromEntries([...document.querySelectorAll('.pane')].map(pane => {
  const canvas = pane.querySelector('canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const key = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
    seen.set(key, (seen.get(key) || 0) + 1);
  }
  return [pane.dataset.pane, seen.size];
}))"""
# The share of a column of the price pane that the hatching or anything else covers.
INK = """ms => {
  const { panes, view } = window.ofiView;
  const u = panes[0].chart;
  const x = Math.round(u.valToPos(ms, 'x', true));
  const data = u.ctx.getImageData(x - 6, u.bbox.top + 40, 13, u.bbox.height * 0.3).data;
  const hatch = view.colors.hatch.match(/[0-9a-f]{2}/gi).map(one => parseInt(one, 16));
  let close = 0;
  for (let i = 0; i < data.length; i += 4)
    close += Math.abs(data[i] - hatch[0]) + Math.abs(data[i + 1] - hatch[1]) + Math.abs(data[i + 2] - hatch[2]) < 60;
  return close / (data.length / 4);
}"""

Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Open]:
    """Open the page; a message on its console or a request to elsewhere fails the test."""
    opened: list[tuple[Page, list[str]]] = []

    def open_at(query: str = "", size: tuple[int, int] = SIZES[0], *, dark: bool = False, address: str = url) -> Page:
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        messages: list[str] = []
        page.on("console", lambda message: message.type == "error" and messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: request.url.startswith(address) or messages.append(request.url))
        opened.append((page, messages))
        page.goto(address + query)
        page.wait_for_selector("html[data-shown]", state="attached")
        return page

    yield open_at
    for page, messages in opened:
        page.close()
        assert messages == []


def shown(page: Page) -> tuple[str, int, int]:
    """Return symbol and range of the frame on the screen, and check that the address says the same."""
    text = page.get_attribute("html", "data-shown") or ""
    symbol, _, rest = text.partition(":")
    start, _, end = rest.partition("-")
    return symbol, int(start), int(end)


def press(page: Page, key: str) -> tuple[str, int, int]:
    """Press a key and wait for the frame that follows."""
    before = page.get_attribute("html", "data-shown")
    page.keyboard.press(key)
    page.wait_for_selector(f'html:not([data-shown="{before}"])', state="attached")
    found = shown(page)
    query = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
    assert (query["symbol"], int(query["start_ms"]), int(query["end_ms"])) == found
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_every_pane_draws_something(open_page: Open, size: tuple[int, int], dark: bool) -> None:
    """At three widths, light and dark, within the width of the screen."""
    page = open_page(size=size, dark=dark)
    colors = page.evaluate(COLORS)
    assert list(colors) == PANES
    assert all(count > 8 for count in colors.values()), colors
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("#overview canvas").count() == 1
    assert page.locator("#trouble").is_hidden()
    for caption in page.locator(".caption").all():
        assert "NaN" not in caption.inner_text()
        assert "undefined" not in caption.inner_text()


def test_keys_move_zoom_and_jump(open_page: Open) -> None:
    """Each gesture changes the range as it says, and the address with it."""
    page = open_page(f"?symbol=BTCUSDT&start_ms={at(1800)}&end_ms={at(2400)}")
    assert shown(page) == ("BTCUSDT", at(1800), at(2400))
    assert press(page, "ArrowRight")[1:] == (at(1950), at(2550))
    assert press(page, "ArrowLeft")[1:] == (at(1800), at(2400))
    assert press(page, "+")[1:] == (at(1950), at(2250))
    assert press(page, "-")[1:] == (at(1800), at(2400))
    assert press(page, "s") == ("ETHUSDT", at(1800), at(2400))
    assert press(page, "s") == ("BTCUSDT", at(1800), at(2400))
    assert press(page, "h")[1] < at(10)
    page.keyboard.press("t")
    page.fill("#when", "never")
    page.keyboard.press("Enter")
    assert "expected a time" in page.inner_text("#unclear")
    page.fill("#when", "2025-10-16 11:40")
    before = page.get_attribute("html", "data-shown")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'html:not([data-shown="{before}"])', state="attached")
    _, start, end = shown(page)
    assert (start + end) // 2 == at(2400)
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()


def test_e_and_g_find_events_and_gaps(open_page: Open, root: Path) -> None:
    """Next and previous, one after the other."""
    with Dataset(root, symbols=["BTCUSDT"]) as dataset:
        times = dataset.events.select("ts_ms").unique().sort("ts_ms").collect().to_series().to_list()
    page = open_page(f"?symbol=BTCUSDT&start_ms={at(1990)}&end_ms={at(2010)}")
    following = [t for t in times if t > at(2000)]
    seen = [(sum(press(page, key)[1:])) // 2 for key in ("e", "e", "E")]
    assert seen == [following[0], following[1], following[0]]
    _, start, end = press(page, "G")
    assert at(GAP.first) < (start + end) / 2 < at(GAP.last)
    page.keyboard.press("G")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "no gap before" in page.inner_text("#trouble")


def test_the_address_opens_the_same_page(open_page: Open) -> None:
    """Symbol, range, panes and kind."""
    page = open_page(f"?symbol=ETHUSDT&start_ms={at(600)}&end_ms={at(900)}&panes=price,cvd&kind=mid")
    assert shown(page) == ("ETHUSDT", at(600), at(900))
    assert [one.get_attribute("data-pane") for one in page.locator(".pane").all()] == ["price", "cvd"]
    assert page.inner_text("#kind") == "mid"
    page.keyboard.press("k")
    assert page.inner_text("#kind") == "candles"
    assert "kind=candles" in page.url
    assert "panes=price,cvd" in page.url


def test_a_gesture_is_one_request_at_most(open_page: Open) -> None:
    """A burst of the wheel, a drag and a key ask once each; a small pan inside what is loaded asks for nothing."""
    page = open_page(f"?symbol=BTCUSDT&start_ms={at(1800)}&end_ms={at(2400)}")
    asked: list[str] = []
    page.on("request", lambda request: "/api/screen" in request.url and asked.append(request.url))
    over = page.locator(".pane .u-over").first.bounding_box()
    assert over is not None
    x, y = over["x"] + over["width"] / 2, over["y"] + over["height"] / 2
    page.mouse.move(x, y)
    page.evaluate("""() => { const over = document.querySelector('.u-over');
        for (let i = 0; i < 12; i++) over.dispatchEvent(new WheelEvent('wheel', { deltaY: -40, bubbles: true })); }""")
    page.wait_for_selector(f'html:not([data-shown="BTCUSDT:{at(1800)}-{at(2400)}"])', state="attached")
    assert len(asked) == 1
    before = page.get_attribute("html", "data-shown")
    page.mouse.down()
    for step in range(1, 20):
        page.mouse.move(x - 30 * step, y)
    page.mouse.up()
    page.wait_for_selector(f'html:not([data-shown="{before}"])', state="attached")
    assert len(asked) == 2
    page.mouse.down()
    page.mouse.move(x - 600, y)
    before = page.get_attribute("html", "data-shown")
    page.mouse.up()
    page.wait_for_selector(f'html:not([data-shown="{before}"])', state="attached")
    assert len(asked) == 2
    press(page, "+")
    assert len(asked) == 3


def test_points_on_the_screen_equal_the_tables(open_page: Open, root: Path) -> None:
    """Two hundred random points, asked back through the page's own data, at three zooms."""
    with Dataset(root, symbols=["BTCUSDT"]) as dataset:
        cvd, ofi, fusion, prices = (
            dataset.frame(kind).sort("ts_ms", maintain_order=True).collect()
            for kind in ("cvd", "ofi", "fusion", "prices")
        )
    sources = {
        "cvd": (cvd, pl.col("cvd").last()), "mid": (ofi, pl.col("mid").last()), "ofi": (ofi, pl.col("ofi_value").sum()),
        "score": (fusion, pl.col("score").last()), "close": (prices, pl.col("price").last()),
        "n_trades": (prices, pl.len()), "spread_bps": (ofi, pl.col("spread_bps").last()),
    }  # fmt: skip
    chance, checked = random.Random(7), 0
    for first, last in ((0, SECONDS), (1100, 2300), (3550, 3650)):
        page = open_page(f"?symbol=BTCUSDT&start_ms={at(first)}&end_ms={at(last)}")
        lines, width = page.evaluate("[window.ofiView.view.data.lines, window.ofiView.view.data.width_ms]")
        for _ in range(67):
            name = chance.choice(list(sources))
            i = chance.choice([i for i, value in enumerate(lines[name]) if value is not None])
            rows, value = sources[name]
            own = rows.filter(label(width) == lines["t"][i]).select(value=value)["value"]
            found = own.item() if own.len() else None
            assert math.isclose(lines[name][i], found or 0, rel_tol=1e-9, abs_tol=1e-9), (name, lines["t"][i])
            checked += 1
    assert checked > 200


def test_what_the_caption_says_is_what_is_under_the_cursor(open_page: Open) -> None:
    """The values of the bucket that holds the instant, with their unit."""
    page = open_page(f"?symbol=BTCUSDT&start_ms={at(1800)}&end_ms={at(2400)}")
    over = page.locator(".pane[data-pane=rate] .u-over").bounding_box()
    assert over is not None
    page.mouse.move(over["x"] + over["width"] * 0.5, over["y"] + 10)
    said = page.inner_text(".pane[data-pane=rate] .caption")
    count = page.evaluate(
        """() => { const { view, panes, bucketAt } = window.ofiView, { lines, width_ms } = view.data;
        return lines.n_trades[panes[0].chart.cursor.idx] * 1000 / width_ms; }"""
    )
    assert f"{count:g}" in said
    assert "trades/s" in said


def test_a_planted_gap_is_hatched_and_a_quiet_minute_is_not(open_page: Open) -> None:
    """Seen in the pixels of the canvas."""
    page = open_page(f"?symbol=BTCUSDT&start_ms={at(900)}&end_ms={at(3300)}&kind=mid")
    gap, quiet, busy = (page.evaluate(INK, at(second)) for second in (1100, sum(QUIET.__dict__.values()) / 2, 2000))
    assert gap > 0.08
    assert max(quiet, busy) < gap / 4


def test_new_rows_come_by_themselves_while_following(open_page: Open, root: Path, tmp_path: Path) -> None:
    """A page over a folder that is empty at first, then grows."""
    import shutil  # noqa: PLC0415

    def publish(stamp: str) -> None:
        for path in root.rglob(f"*T{stamp}Z.parquet"):
            target = tmp_path / "data" / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target.with_suffix(".tmp"))
            target.with_suffix(".tmp").replace(target)

    publish("110000")
    served = Served(tmp_path / "data", follow=True)
    try:
        page = open_page(address=served.url)
        assert shown(page)[2] <= at(3600) + 200_000
        publish("120000")
        while shown(page)[2] < at(SECONDS):  # a part may be seen before the others; the suite's limit ends the wait
            page.wait_for_selector(
                f'html:not([data-shown="{page.get_attribute("html", "data-shown")}"])', state="attached"
            )
        page.close()
    finally:
        served.stop()
