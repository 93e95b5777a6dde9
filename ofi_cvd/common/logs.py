"""Log lines: time, level, dotted event name, then the facts as key=value."""

from __future__ import annotations

import json
import logging
import time

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FactsFormatter(logging.Formatter):
    """One line an event, UTC; values with spaces are quoted as JSON, so that a line can be taken apart again.

    Example:
        2026-11-22T10:00:00.123Z WARNING collect.gap symbol=BTCUSDT missing=3
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        facts = "".join(f" {key}={_shown(value)}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{when}.{int(record.msecs):03d}Z {record.levelname} {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value if value and value.isprintable() and not set(value) & set(' "=') else json.dumps(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, separators=(",", ":"), default=str)
    return f"{value:g}" if isinstance(value, float) else str(value)


def log_to(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send this package's log lines to `handler`, in the house's format; those of libraries from WARNING on."""
    handler.setFormatter(FactsFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("ofi_cvd").setLevel(level)
