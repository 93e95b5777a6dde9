"""The connection that cuts frames itself gives what the library would give, and refuses what it would refuse."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.asyncio.server import serve
from websockets.client import ClientProtocol
from websockets.exceptions import SecurityError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from ofi_cvd.collect.frame_connection import FrameConnection, ending, open_connection
from ofi_cvd.errors import InputError

MAX_SIZE = 1000


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def is_closing(self) -> bool:
        return False


def text(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def feed(chunks: Iterable[bytes], cut: list[int]) -> tuple[list[bytes], FrameConnection]:
    """Return the messages a connection hands over for a byte stream cut at arbitrary places."""

    async def run() -> tuple[list[bytes], FrameConnection]:
        got: list[bytes] = []
        protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), max_size=MAX_SIZE)
        connection = FrameConnection(protocol, sink=got.extend)
        connection.connection_made(Pipe())
        request = protocol.connect()
        protocol.send_request(request)
        answer = ServerProtocol().accept(request).serialize()
        stream = answer + b"".join(chunks)
        places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in cut)})
        for start, end in itertools.pairwise(places):
            connection.data_received(stream[start:end])
        return got, connection

    return asyncio.run(run())


payloads = st.one_of(
    st.binary(max_size=300).map(lambda raw: raw.hex().encode()),
    st.sampled_from([b"", b"{}", b"x" * 125, b"x" * 126, b"x" * MAX_SIZE]),
)
messages = st.lists(st.tuples(st.sampled_from(["whole", "fragments", "ping", "binary"]), payloads), max_size=12)


@given(messages, st.lists(st.integers(0, 5000), max_size=20))
@example([("whole", b"a"), ("ping", b"p"), ("fragments", b"bcd"), ("whole", b"e" * 200)], [1, 2, 3])
def test_any_stream_cut_anywhere_gives_every_message_once_in_order(
    sent: list[tuple[str, bytes]], cut: list[int]
) -> None:
    stream, expected = [], []
    for kind, payload in sent:
        if kind == "ping":
            stream.append(Frame(Opcode.PING, payload[:100]).serialize(mask=False))
            continue
        expected.append(payload)
        if kind == "fragments":
            third = len(payload) // 3
            stream.append(Frame(Opcode.TEXT, payload[:third], fin=False).serialize(mask=False))
            stream.append(Frame(Opcode.PING, b"between").serialize(mask=False))
            stream.append(Frame(Opcode.CONT, payload[third:], fin=True).serialize(mask=False))
        else:
            opcode = Opcode.TEXT if kind == "whole" else Opcode.BINARY
            stream.append(Frame(opcode, payload).serialize(mask=False))
    got, _ = feed(stream, cut)
    assert got == expected


@pytest.mark.parametrize("size", [MAX_SIZE + 1, 70_000])
@pytest.mark.parametrize("cut", [[], [150, 200, 300, 1000, 1200]])
def test_a_frame_beyond_the_bound_is_refused_by_its_header(size: int, cut: list[int]) -> None:
    got, connection = feed([text(b"before"), text(b"x" * size), text(b"after")], cut)
    assert got == [b"before"]
    assert "1009" in ending(connection)


def test_a_masked_frame_is_a_breach_of_the_protocol() -> None:
    got, connection = feed([text(b"before"), Frame(Opcode.TEXT, b"masked payload").serialize(mask=True)], [])
    assert got == [b"before"]
    assert "1002" in ending(connection)


def test_after_the_venue_closes_nothing_more_is_taken() -> None:
    close = Frame(Opcode.CLOSE, b"\x03\xe9bye").serialize(mask=False)
    got, connection = feed([text(b"before"), close, text(b"after")], [])
    assert got == [b"before"]
    assert ending(connection) == "received 1001 (going away) bye"


async def test_plain_text_to_another_machine_is_refused() -> None:
    with pytest.raises(InputError, match="expected wss"):
        await open_connection("ws://192.0.2.1:1/stream", lambda _: None, max_size=MAX_SIZE, loopback=False)


async def test_a_redirect_is_refused() -> None:
    async def away(_connection: object, _request: Request) -> Response:
        from websockets.datastructures import Headers  # noqa: PLC0415

        return Response(302, "Found", Headers({"Location": "ws://192.0.2.1/", "Content-Length": "0"}), b"")

    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, process_request=away) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SecurityError, match="refused to be redirected"):
            await open_connection(f"ws://127.0.0.1:{port}/", lambda _: None, max_size=MAX_SIZE, loopback=True)


async def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    """TLS is verified: a venue that cannot prove its name is no venue."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography to make a certificate")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "self.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_connection(f"wss://localhost:{port}/", lambda _: None, max_size=MAX_SIZE, loopback=True)
