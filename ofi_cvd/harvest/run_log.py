"""The log file of a run: lines of this process and of its children, a line an event.

See docs/specification/quality.md#reports.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import deque
from pathlib import Path
from typing import Final, TextIO

from ofi_cvd.common.logs import FactsFormatter

RECENT: Final = 8


class RunLog(logging.Handler):
    """Appends lines to the file, flushed one by one; a disk that refuses costs lines, not the run.

    Args:
        path: the file; it is appended to.
        echo: where each line goes too, if anywhere.

    Attributes:
        recent: the last warnings and errors, for the panel.
    """

    def __init__(self, path: Path, echo: TextIO | None) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._echo = path, echo
        self._file = path.open("a", encoding="utf-8", newline="\n")
        self.recent: deque[str] = deque(maxlen=RECENT)
        self.setFormatter(FactsFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of this process."""
        self.line(record.levelno, self.format(record))

    def line(self, level: int, text: str) -> None:
        """Write a line as it is."""
        if level >= logging.WARNING:
            self.recent.append(text.splitlines()[0])
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text + "\n")
            self._file.flush()
        if self._echo is not None:
            with contextlib.suppress(OSError, ValueError):
                print(text, file=self._echo, flush=True)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()


def stderr_unless(panel: bool) -> TextIO | None:
    """Return where lines are echoed: nowhere while a panel is drawn."""
    return None if panel else sys.stderr
