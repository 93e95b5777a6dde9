"""A market with one planted gap and one quiet minute, and Chromium to look at it with."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from ofi_cvd.view.http import Application
from ofi_cvd.view.requests import Page
from ofi_cvd.view.serve import listening
from tests.analysis import planted

GAP = planted.Gap(1000, 1200)
QUIET = planted.Gap(3000, 3061)  # no trade, and books all the while
SECONDS = 5400
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def at(second: float) -> int:
    """Return an instant of the market."""
    return planted.START_MS + round(second * 1000)


def market(symbol: str, seed: int) -> planted.Tables:
    """Return the tables of a symbol, the quiet minute taken out of its trades."""
    tables = planted.tables(SECONDS, seed=seed, symbol=symbol, gaps=(GAP,), books=4)
    quiet = pl.col("ts_ms").is_between(at(QUIET.first), at(QUIET.last))
    return {kind: rows.filter(~quiet) if kind in {"prices", "cvd"} else rows for kind, rows in tables.items()}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published market."""
    folder = tmp_path_factory.mktemp("view") / "dataset"
    return planted.write(folder, {"BTCUSDT": market("BTCUSDT", 0), "ETHUSDT": market("ETHUSDT", 1)})


class Served:
    """A page that is served by this process."""

    def __init__(self, root: Path, *, follow: bool = False) -> None:
        self._context = listening("127.0.0.1", 0)
        self._socket = self._context.__enter__()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        config = uvicorn.Config(Application(Page(root, follow=follow)), log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._thread.join(10)
        self._context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def url(root: Path) -> Iterator[str]:
    """The address of the market's page."""
    served = Served(root)
    yield served.url
    served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, of the system; a module long, for while it lives no other test of this process can run a loop."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page cannot be looked at")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()
