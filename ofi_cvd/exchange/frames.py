"""Outgoing WebSocket frames, rendered once and shared by every connection that wants them.

A server's frames carry no mask, so the same bytes serve all clients.  Incoming
frames are parsed by the sans-IO half of `websockets`.
"""

from __future__ import annotations

import struct

_TEXT, _BINARY, _PING = 0x81, 0x82, 0x89


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one unfragmented text frame."""
    return _header(_TEXT, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """Return `payload` as one unfragmented binary frame."""
    return _header(_BINARY, len(payload)) + payload


def ping_frame(payload: bytes) -> bytes:
    """Return a ping; at most 125 bytes of payload."""
    return _header(_PING, len(payload)) + payload


def wrap(stream: str, payload: bytes) -> bytes:
    """Return the combined-stream text of `payload`, which is JSON."""
    return b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
