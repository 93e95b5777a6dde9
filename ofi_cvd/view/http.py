"""The page over HTTP: a thin shell around `Page`. GET only, to this host only, and nothing it serves is a path."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ofi_cvd.errors import OfiCvdError, UsageError
from ofi_cvd.view.requests import Page

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)


class Application:
    """The ASGI application of one dataset."""

    def __init__(self, page: Page, host: str = "127.0.0.1") -> None:
        """Serve `page` to requests whose Host header is loopback or `host`."""
        self._page = page
        self._hosts = LOOPBACK | {host.lower(), f"[{host.lower()}]"}
        self._files = static_files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # uvicorn asks about its lifespan; there is nothing to open or close
            return
        response = await self._respond(Request(scope, receive))
        response.headers.update(HEADERS)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if not self._is_ours(request.headers.get("host", "")):
            return PlainTextResponse("expected a request to this host, found another one's name\n", 421)
        if request.method != "GET":
            return PlainTextResponse("expected GET\n", 405, headers={"Allow": "GET"})
        path = request.url.path
        if path in self._files:
            return Response(
                self._files[path], media_type=_TYPES[path[path.rindex(".") :]] if "." in path else _TYPES[".html"]
            )
        try:
            answer = await run_in_threadpool(self._page.answer, path, dict(request.query_params))
        except OfiCvdError as error:
            log.info("view.refused", extra={"path": path, "error": str(error)})
            return PlainTextResponse(f"{error}\n", 400 if isinstance(error, UsageError) else 503)
        if answer is None:
            return PlainTextResponse("nothing here\n", 404)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    def _is_ours(self, host: str) -> bool:
        """Return whether the Host header names this server: a page of another name that resolves to us gets nothing."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host.lower(), ""
        return name in self._hosts and (port == "" or port.isdigit())


def static_files() -> dict[str, bytes]:
    """Return the page's own files by the path they are asked for; there are no others."""
    found: dict[str, bytes] = {}
    root = files("ofi_cvd.view") / "static"
    for folder, prefix in ((root, "/"), (root / "vendor", "/vendor/")):
        for entry in folder.iterdir():
            if entry.is_file() and "." + entry.name.rpartition(".")[2] in _TYPES:
                found[prefix + entry.name] = entry.read_bytes()
    found["/"] = found["/index.html"]
    return found
