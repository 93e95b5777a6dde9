"""The main function of an exchange's process: one line when it is ready, a clean end on SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from ofi_cvd.errors import ExchangeError
from ofi_cvd.exchange.server import Exchange


async def serve(exchange: Exchange, *, say: Callable[[str, str], None]) -> None:
    """Serve until a signal asks to stop; a recording that ends leaves REST up.

    `say` is told what happened, `ready` or `over`, and a sentence about it.

    Raises:
        ExchangeError: the address cannot be bound.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    try:
        await exchange.open()
    except OSError as error:
        found = error.strerror or str(error)
        raise ExchangeError(f"expected to bind {exchange.host}:{exchange.port}, found: {found}") from None
    try:
        say(
            "ready",
            f"exchange ready at {exchange.url} ({exchange.limits.venue}, {len(exchange.source.symbols)} symbols)",
        )
        playing = asyncio.create_task(exchange.finished())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            playing.result()
            say("over", "the recording is over; REST stays up until the exchange is stopped")
            await stopping
        playing.cancel()
    finally:
        await exchange.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no such handlers on its loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
