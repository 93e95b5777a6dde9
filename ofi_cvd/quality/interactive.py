"""Charts in one HTML file that needs no network: the library and the figures compressed in it, unpacked by the browser.

The library is Plotly's bundle for cartesian charts, shipped with the package; the whole of it would weigh five times as
much. Whoever builds a page writes `holder` where a chart stands and `scripts` at the end of the body.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

WEB: Final = Path(__file__).parent / "web"
LIBRARY: Final = "plotly-cartesian-4.1.1.min.js.gz"


def style() -> str:
    """Return the style of every report page: light and dark, down to the width of a phone."""
    return (WEB / "page.css").read_text("utf-8")


def holder(name: str, height: int) -> str:
    """Return the element that a chart is drawn into."""
    return f'<div class="chart" id="{escape(name)}" style="height:{height}px"></div>'


def note(figure: Any) -> str:  # a Plotly figure; the library has no types
    """Return the sentence that belongs to a figure, as HTML."""
    told = (figure.layout.meta or {}).get("note", "")
    return f'<p class="quiet">{escape(told)}</p>' if told else ""


def scripts(figures: Mapping[str, Any]) -> str:
    """Return the script elements that draw `figures` by the id of their holders; the same figures give the same text."""
    data = "{" + ",".join(f'"{name}":{figure.to_json()}' for name, figure in figures.items()) + "}"
    packed = gzip.compress(data.encode(), 9, mtime=0)
    program = (WEB / "page.js").read_text("utf-8")
    return (
        f'<script type="text/plain" id="chart-library">{_library()}</script>\n'
        f'<script type="text/plain" id="chart-data">{base64.b64encode(packed).decode()}</script>\n'
        f"<script>\n{program}</script>"
    )


@cache
def _library() -> str:
    return base64.b64encode((WEB / LIBRARY).read_bytes()).decode()
