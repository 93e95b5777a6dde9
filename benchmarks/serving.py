"""The built-in exchange in a process of its own, for benchmarks and tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


@contextmanager
def serving(*words: str) -> Iterator[str]:
    """Serve with `ofi exchange` and these words, on a free port; yield the address.

    Raises:
        SystemExit: it did not start.
    """
    command = [sys.executable, "cli.py", "exchange", *words, "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # noqa: S101
    try:
        ready = re.search(r"http://\S+?(?=[\s)]|$)", process.stdout.readline())
        if ready is None:
            raise SystemExit("the exchange did not start")
        yield ready[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
