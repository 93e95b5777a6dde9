"""Writes the pages of the notebooks with their results, from three simulated hours: `make notebook-pages`."""  # noqa: INP001

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient
from playwright.sync_api import Browser, sync_playwright

from ofi_cvd.publish.run import build
from ofi_cvd.settings import load
from ofi_cvd.simulator import simulate_spool

ROOT = Path(__file__).parents[1]
PAGES = Path(__file__).parent / "notebooks"
SYMBOLS = ("BTCUSDT", "ADAUSDT")
PLOTLY = "application/vnd.plotly.v1+json"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1000


def main() -> None:
    """Run every notebook and write its page and its pictures."""
    path = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if path is None:
        sys.exit(f"expected one of {', '.join(CHROMIUM)} to draw with, found none; install Chromium")
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        environment = simulated(Path(name))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
            text = "".join(page_of(notebook, environment, browser))
            (PAGES / f"{notebook.stem}.md").write_text(text, "utf-8", newline="\n")
        browser.close()


def simulated(root: Path) -> dict[str, str]:
    """Simulate and build three hours; return the environment that names their folders."""
    folders = {name: root / name for name in ("spool_dir", "data_dir", "state_dir", "artifacts_dir")}
    settings = load({"symbols": SYMBOLS, **folders}, environ={}, toml=root / "none.toml").settings
    simulate_spool(settings.spool_dir, hours=3, symbols=SYMBOLS, seed=7, workers=1)
    build(settings, workers=1)
    return {f"OFI_{name.upper()}": str(path) for name, path in folders.items()}


def page_of(path: Path, environment: dict[str, str], browser: Browser) -> Iterator[str]:
    """Yield the page of a notebook: its text, its code, what the code printed, and its charts as pictures."""
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources=folder).execute(env=os.environ | environment)
    pictures = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield f"{cell.source}\n\n"
            continue
        yield f"```python\n{cell.source}\n```\n\n"
        for output in cell.outputs:
            data = output.get("data", {})
            if PLOTLY in data:
                pictures += 1
                name = f"{path.stem}-{pictures}.png"
                draw(data[PLOTLY], PAGES / name, browser)
                yield f"![The chart that this cell draws]({name})\n\n"
            elif text := (output.get("text") or data.get("text/plain", "")).rstrip():
                yield f"```text\n{shown(text, environment)}\n```\n\n"
    yield f"*Run on three simulated hours; the notebook is `notebooks/{path.name}`.*\n"


def shown(text: str, environment: dict[str, str]) -> str:
    """Return output without colours of the terminal and without folders of the machine it was made on."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for name, folder in environment.items():
        plain = plain.replace(folder, {"OFI_DATA_DIR": "../data/ofi_cvd"}.get(name, "../data"))
    return plain


def draw(figure: dict[str, Any], picture: Path, browser: Browser) -> None:
    """Take the picture of a chart."""
    chart = go.Figure(data=figure["data"], layout=figure["layout"], skip_invalid=True)
    height = int(chart.layout.height or 480)
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    page.set_content(chart.to_html(include_plotlyjs=True, full_html=True, default_height=f"{height}px"))
    page.locator(".main-svg").first.wait_for()
    page.wait_for_timeout(800)
    page.screenshot(path=picture)
    page.close()


if __name__ == "__main__":
    main()
