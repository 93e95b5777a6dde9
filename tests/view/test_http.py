"""The door of the page: GET only, to this host only, and nothing that is asked is a path."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from ofi_cvd.errors import RunError
from ofi_cvd.view.http import Application, static_files
from ofi_cvd.view.requests import Page
from ofi_cvd.view.serve import listening
from tests.view.conftest import SECONDS, at

SCREEN = {"symbol": "BTCUSDT", "start_ms": at(0), "end_ms": at(600), "pixels": 800, "height": 200}


async def ask(
    root: Path, path: str, *, method: str = "GET", host: str = "localhost:8350", **params: object
) -> httpx.Response:
    transport = httpx.ASGITransport(Application(Page(root)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8350") as client:
        return await client.request(method, path, params=params or None, headers={"Host": host})  # type: ignore[arg-type]


async def test_the_page_and_its_files_are_served_with_a_content_policy(root: Path) -> None:
    """Only its own scripts run, nothing frames it, nothing is cached."""
    for path in ("/", *static_files()):
        found = await ask(root, path)
        assert found.status_code == 200, path
        assert found.headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in found.headers
    text = (await ask(root, "/")).text
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    assert "<script>" not in text


async def test_the_chart_library_comes_with_its_licence() -> None:
    """It is vendored whole, with the text that allows it."""
    vendor = Path(__file__).parents[2] / "ofi_cvd" / "view" / "static" / "vendor"
    assert "MIT" in next(vendor.glob("uplot-*.LICENSE")).read_text("utf-8")
    assert next(vendor.glob("uplot-*.js")).stat().st_size < 80_000


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8350", "[::1]:8350", "LOCALHOST:1"])
async def test_loopback_names_are_answered(root: Path, host: str) -> None:
    """With or without a port."""
    assert (await ask(root, "/api/dataset", host=host)).status_code == 200


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:8350", "localhost.example.com", "", "127.0.0.1.nip.io", "::1x"]
)
@pytest.mark.parametrize("path", ["/", "/api/dataset", "/main.js"])
async def test_another_hosts_name_is_refused(root: Path, host: str, path: str) -> None:
    """A page elsewhere whose name resolves to this machine reads nothing."""
    found = await ask(root, path, host=host)
    assert found.status_code == 421
    assert "BTCUSDT" not in found.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
async def test_other_methods_are_refused(root: Path, method: str) -> None:
    """The page only looks."""
    assert (await ask(root, "/api/dataset", method=method)).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/vendor/../../http.py", "/vendor/",
        "/etc/passwd", "//etc/passwd", "/static/main.js", "/api/../main.js/", "/api/secret", "/vendor/uplot-1.6.32.LICENSE",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_the_page(root: Path, path: str) -> None:
    """Files are looked up in a fixed table, not on the disk."""
    assert (await ask(root, path)).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "../BTCUSDT"}, {"symbol": "/etc/passwd"}, {"symbol": "btcusdt"}, {"symbol": ""}, {"start_ms": "x"},
        {"start_ms": -1}, {"end_ms": at(0)}, {"end_ms": "9" * 30}, {"pixels": 0}, {"pixels": 10**9}, {"height": "1e3"},
        {"start_ms": "\u0661"}, {"pixels": "1.5"}, {"end_ms": 253_402_300_800_000},
    ],
)  # fmt: skip
async def test_values_that_make_no_sense_are_refused(root: Path, change: dict[str, object]) -> None:
    """With a sentence, and status 400."""
    found = await ask(root, "/api/screen", **(SCREEN | change))
    assert (found.status_code, "expected" in found.text) == (400, True)


async def test_a_screen_is_json_without_what_json_cannot_say(root: Path) -> None:
    """No NaN, no infinity; numbers come back as they were."""
    found = await ask(root, "/api/screen", **SCREEN)
    answer = json.loads(found.text, parse_constant=lambda text: pytest.fail(f"found {text}"))
    assert (answer["symbol"], answer["start_ms"], len(answer["lines"]["t"]) > 500) == ("BTCUSDT", at(0), True)


async def test_what_is_not_there_is_said(root: Path) -> None:
    """Past the last event there is none; what kind is asked for is checked."""
    values = {"symbol": "BTCUSDT", "at_ms": at(SECONDS + 1), "back": 0}
    assert (await ask(root, "/api/next", what="event", **values)).json() == {"found": None}
    assert (await ask(root, "/api/next", what="file", **values)).status_code == 400


async def test_a_folder_without_rows_waits_for_them(tmp_path: Path) -> None:
    """The page over a harvest that has not published yet is empty, not an error."""
    assert (await ask(tmp_path, "/api/dataset")).json()["symbols"] == {}
    assert (await ask(tmp_path, "/api/overview", symbol="BTCUSDT")).status_code == 400


def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    """And names the way out."""
    with listening("127.0.0.1", 0) as first, pytest.raises(RunError, match="--port 0"), listening(*first.getsockname()):
        pass
