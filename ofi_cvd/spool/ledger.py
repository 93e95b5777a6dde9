"""The ledger: what happened to the recording, one JSON object a line beside the data."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from ofi_cvd.spool.disk import SyncBatch, ends_torn, open_append
from ofi_cvd.spool.layout import hour_of_ns, ledger_path, list_hours

EVENTS = frozenset(
    {
        "connect", "disconnect", "rotate", "silent", "gap", "repaired", "unrepairable", "drop", "duplicate", "clock",
        "torn", "seal", "snapshot", "audit", "imported", "absent", "reconcile", "shutdown",
    }
)  # fmt: skip
RESERVED = frozenset({"recv_ns", "event", "symbol", "stream", "conn"})

log = logging.getLogger(__name__)


def record_line(
    event: str,
    *,
    recv_ns: int,
    symbol: str | None = None,
    stream: str | None = None,
    conn: str | None = None,
    **facts: object,
) -> bytes:
    """Return one record as the ledger has it, with its newline.

    Raises:
        ValueError: an event that the ledger does not have.
    """
    if event not in EVENTS:
        raise ValueError(f"expected one of {', '.join(sorted(EVENTS))}, found {event!r}")
    row = {"recv_ns": recv_ns, "event": event, "symbol": symbol, "stream": stream, "conn": conn, **facts}
    return msgspec.json.encode(row) + b"\n"


class Ledger:
    """Appends records; each is one write of a whole line, so that several processes may share a ledger.

    A record that the disk refuses stays in memory in order; `flush` tries again and says so with `OSError`.

    Args:
        root: the spool.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pending: list[tuple[Path, bytes]] = []
        self.unsynced: set[Path] = set()
        self._checked: set[Path] = set()

    def record(
        self,
        event: str,
        *,
        recv_ns: int,
        symbol: str | None = None,
        stream: str | None = None,
        conn: str | None = None,
        hour_ms: int | None = None,
        **facts: object,
    ) -> None:
        """Append one record to the ledger of the hour of `recv_ns`, or of `hour_ms` if it is about that hour's files.

        It never raises `OSError`: what cannot be written now is kept, and the next `flush` or `sync` reports it.

        Raises:
            ValueError: an event that the ledger does not have.
        """
        line = record_line(event, recv_ns=recv_ns, symbol=symbol, stream=stream, conn=conn, **facts)
        path = ledger_path(self._root, hour_of_ns(recv_ns) if hour_ms is None else hour_ms)
        self._pending.append((path, line))
        try:
            self.flush()
        except OSError as error:
            log.warning("spool.ledger_write_failed", extra={"path": str(path), "error": str(error)})

    @property
    def pending(self) -> int:
        """The number of records that could not be written yet."""
        return len(self._pending)

    def flush(self) -> None:
        """Write what is pending to the operating system.

        Raises:
            OSError: the disk refused; the records are kept.
        """
        while self._pending:
            path, line = self._pending[0]
            self._write(path, line)
            del self._pending[0]

    def sync(self) -> None:
        """Write what is pending and fsync every ledger written since the last time.

        Raises:
            OSError: the disk refused; nothing is forgotten.
        """
        self.flush()
        batch = SyncBatch(self.unsynced)
        self.unsynced = set()
        try:
            batch.run()
        finally:
            self.unsynced |= batch.paths

    def _write(self, path: Path, line: bytes) -> None:
        handle, folders = open_append(path)
        try:
            if path not in self._checked and ends_torn(path):
                line = b"\n" + line  # close what a killed process left half-written
            self.unsynced.update([path, *folders])
            if os.write(handle, line) != len(line):
                self._checked.discard(path)
                raise OSError(f"{path.name}: the disk took part of a record")
            self._checked = {path}  # others may append too; whole lines are one write each
        finally:
            os.close(handle)


def read_ledger(root: Path, start_ms: int | None = None, end_ms: int | None = None) -> list[dict[str, object]]:
    """Return the records of the hours that overlap `[start_ms, end_ms)`, in file order; torn lines are skipped."""
    rows: list[dict[str, object]] = []
    for _, folder in list_hours(root, start_ms=start_ms, end_ms=end_ms):
        rows += read_ledger_file(folder)
    return rows


def read_ledger_file(folder: Path) -> list[dict[str, object]]:
    """Return the records of one hour's folder; none if it has no ledger."""
    try:
        lines = (folder / "_ledger.ndjson").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # torn by a crash and closed by the next writer, or damaged
    return rows


_DECODER = msgspec.json.Decoder(dict[str, object])
