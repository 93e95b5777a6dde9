"""How many frames a second the built-in exchange can put on one loopback connection.

The reader takes bytes and parses nothing, so the figure is the sender's: a
receiver that is measured against `ofi exchange --flood max` is not waiting
for it as long as it stays well below.

Run: python benchmarks/exchange.py [seconds]
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.serving import serving  # run as a script, only this folder is on the path

REQUEST = (
    "GET /public/stream?streams=btcusdt@bookTicker HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main() -> None:
    """Print frames and megabytes a second."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with serving("--flood", "max", "--symbols", "BTCUSDT") as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(REQUEST.encode())
            received = client.recv(65_536)
            _, _, rest = received.partition(b"\r\n\r\n")
            while len(rest) < 4096:
                rest += client.recv(65_536)
            frame_bytes = int.from_bytes(rest[2:4], "big") + 4  # all frames of a flood's stream are equally long
            buffer, total, began = bytearray(1 << 20), 0, time.perf_counter()
            while time.perf_counter() - began < seconds:
                total += client.recv_into(buffer)
            took = time.perf_counter() - began
    print(f"{total / frame_bytes / took:,.0f} frames/s, {total / took / 1e6:,.1f} MB/s, {frame_bytes} bytes a frame")


if __name__ == "__main__":
    main()
