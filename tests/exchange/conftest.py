"""Running exchanges for the tests of this folder; every wait ends with an event, none with a sleep."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from ofi_cvd.exchange.server import Exchange

Listen = Callable[..., Any]


@asynccontextmanager
async def _listen(exchange: Exchange, target: str, **options: Any) -> AsyncIterator[ClientConnection]:
    options = {"compression": None, "ping_interval": None, "max_size": None, "close_timeout": 1} | options
    async with connect(exchange.ws_url + target, **options) as socket:
        yield socket


@pytest.fixture
def listen() -> Listen:
    """Open a WebSocket to an exchange: `async with listen(exchange, "/public/ws/btcusdt@bookTicker") as socket`."""
    return _listen


@pytest.fixture
def next_json() -> Listen:
    """Return the next message that satisfies a condition, parsed."""

    async def read(socket: ClientConnection, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        async with asyncio.timeout(10):
            while True:
                message = json.loads(await socket.recv())
                if wanted(message):
                    return message

    return read
