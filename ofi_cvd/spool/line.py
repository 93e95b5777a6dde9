"""The line of the spool: `{"recv_ns":...,"conn":"...",` and then the received object (docs/specification/spool.md#lines).

What writes lines takes their pieces from here: one by one (`splice`, `wrap`), many of one read (`head` and `tail`), or
rendered by the column (`HEAD`, `between`). What reads them uses `parse_line` and `RECEIPT`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

HEAD: Final = b'{"recv_ns":'
"""How every line begins; the receipt follows, in UTC nanoseconds."""
END: Final = b"}\n"
"""How every line ends when its data have been written."""
RECEIPT: Final = re.compile(HEAD.replace(b"{", rb"\{") + rb"(\d+),[^\n]*\}\n")
"""A whole line with its newline; group 1 is the receipt."""

_CONN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class SpoolLine(msgspec.Struct, frozen=True):
    """A line of the spool; `data` is not decoded."""

    recv_ns: int
    conn: str
    stream: str
    data: msgspec.Raw


_LINE: Final = msgspec.json.Decoder(SpoolLine)


def head(recv_ns: int, conn: str) -> bytes:
    """Return what comes before the tail of a received object."""
    return b'%b%d,"conn":"%b",' % (HEAD, recv_ns, conn.encode())


def tail(raw: bytes) -> bytes:
    """Return a JSON object's bytes after its brace, verbatim but for line breaks, which become spaces.

    In JSON line breaks can stand between tokens alone.
    """
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return raw[1:] if raw[:1] == b"{" else raw.lstrip()[1:]


def between(conn: str, stream: str, extra: str = "") -> bytes:
    """Return what stands between the receipt and the data of a line.

    Args:
        conn: the connection.
        stream: the venue's stream name, `btcusdt@aggTrade`.
        extra: further keys of the frame, each behind its comma.
    """
    return f',"conn":"{conn}","stream":"{stream}"{extra},"data":'.encode()


def splice(recv_ns: int, conn: str, raw: bytes) -> bytes:
    """Return the spool line of a received JSON object: two keys in front, the rest verbatim.

    Only line breaks change, to spaces: in JSON they can stand between tokens alone.

    Raises:
        ValueError: `raw` does not begin and end like a JSON object with keys, or `conn` is no plain word.

    Example:
        >>> splice(7, "m1", b'{"stream":"btcusdt@trade","data":{}}')
        b'{"recv_ns":7,"conn":"m1","stream":"btcusdt@trade","data":{}}'
    """
    if raw[:2] != b'{"' or raw[-1:] != b"}":
        raw = raw.strip()
        if raw[:1] != b"{" or raw[-1:] != b"}" or not raw[1:-1].strip():
            raise ValueError(f"expected a JSON object, found {raw[:60]!r}")
    if not _CONN.fullmatch(conn):
        raise ValueError(f"expected a plain word for the connection, found {conn[:80]!r}")
    return head(recv_ns, conn) + tail(raw)


def wrap(recv_ns: int, conn: str, stream: str, data: bytes) -> bytes:
    """Return the spool line of a message that came without its stream name: a REST row or a raw frame.

    Args:
        recv_ns: when it was received.
        conn: the connection, `rest` for a REST row.
        stream: the venue's stream name, `btcusdt@aggTrade`.
        data: the message, verbatim.
    """
    return splice(recv_ns, conn, b'{"stream":"%b","data":%b}' % (stream.encode(), data.strip()))


def parse_line(line: bytes) -> SpoolLine:
    """Return a spool line's receipt, connection, stream name and undecoded data.

    Raises:
        msgspec.DecodeError: torn, or not a spool line.
    """
    return _LINE.decode(line)
