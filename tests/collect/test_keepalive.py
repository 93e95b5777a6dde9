"""Pings: theirs are answered; ours may go unanswered for ever on a connection that delivers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.venue_limits import limits_of
from tests.collect.rig import assert_whole, events, market, recording, settings


async def test_the_venues_pings_are_answered(tmp_path: Path) -> None:
    limits = replace(limits_of("usdm"), ping_every_s=0.1, pong_within_s=0.3)
    async with Exchange(market(), limits=limits) as exchange, recording(settings(exchange, tmp_path)) as run:
        await run.frames(120)
        assert len(exchange.sockets) == 2
    assert run.stats.reconnects == 0
    assert_whole(tmp_path)


async def test_a_pong_that_never_comes_kills_nothing(tmp_path: Path) -> None:
    """A venue that delivers data and ignores every ping."""
    pings = 0

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal pings
        head = await reader.readuntil(b"\r\n\r\n")
        protocol = ServerProtocol()
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        if b"/stream" not in head:  # REST: nobody is at home
            writer.close()
            return
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        writer.write(b"".join(protocol.data_to_send()))
        stream = b"aggTrade" if b"/market/" in head else b"depth10@100ms"
        listening = asyncio.create_task(reader.read(65_536))
        for number in range(1000):
            data = b'{"a":%d,"u":%d,"pu":%d,"p":"1","q":"1","T":1,"m":true}' % (number, number, number - 1)
            frame = b'{"stream":"btcusdt@%b","data":%b}' % (stream, data)
            writer.write(Frame(Opcode.TEXT, frame).serialize(mask=False))
            await asyncio.sleep(0.01)
            if listening.done():
                received = listening.result()
                pings += received[:1] == b"\x89"
                if not received or received[:1] == b"\x88":
                    break
                listening = asyncio.create_task(reader.read(65_536))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with recording(settings(url, tmp_path, wss_ping_interval=0.05)) as run:
            await run.frames(200)
    assert pings >= 5
    assert run.stats.reconnects == 0
    assert len(events(tmp_path, "connect")) == 2
    assert_whole(tmp_path)
