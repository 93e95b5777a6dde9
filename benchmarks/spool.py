"""How many lines a second one core appends to a spool: spliced, one by one, with the recorder's flushes and syncs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ofi_cvd.spool.line import splice
from ofi_cvd.spool.writer import SpoolWriter

LINES = 400_000


def main() -> None:
    """Print lines per second for a book frame and a trade frame."""
    for name, size in (("depth10@100ms", 600), ("aggTrade", 200)):
        head = b'{"stream":"btcusdt@%b","data":{"x":"' % name.encode()
        raw = head + b"y" * (size - len(head) - 3) + b'"}}'
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with SpoolWriter(Path(folder)) as writer:
                sync_ns = 0
                for number in range(LINES):
                    now_ns = time.time_ns()
                    writer.append("BTCUSDT", name, now_ns, splice(now_ns, "m1", raw))
                    if now_ns >= sync_ns:
                        writer.sync(now_ns)
                        sync_ns = now_ns + 1_000_000_000
                    elif number % 10_000 == 0:
                        writer.flush(now_ns)
            print(f"{name}: {LINES / (time.perf_counter() - start):,.0f} lines/s of {len(raw)} bytes")


if __name__ == "__main__":
    main()
