"""What the session asks the shell to do, in order. Connections and streams are named, never handed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

StreamKey: TypeAlias = tuple[str, str]  # symbol and stream
Line: TypeAlias = tuple[StreamKey, int, bytes]  # whose, when received (ns), the spool line


@dataclass(frozen=True)
class OpenConnection:
    """Connect to `url`; the connection is called `conn`."""

    conn: str
    url: str


@dataclass(frozen=True)
class CloseConnection:
    """Close a connection that is no longer needed; its end is still reported."""

    conn: str
    reason: str


@dataclass(frozen=True)
class StoreLines:
    """Append received lines to the spool."""

    lines: Sequence[Line]


@dataclass(frozen=True)
class StoreRepair:
    """Append a fetched trade to the repair file of the hour it belongs to."""

    symbol: str
    stream: str
    recv_ns: int
    hour_ms: int
    line: bytes


@dataclass(frozen=True)
class LedgerRecord:
    """Put a record into the ledger, of the hour of `hour_ms` or else of now."""

    event: str
    symbol: str | None = None
    stream: str | None = None
    conn: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    hour_ms: int | None = None


Action: TypeAlias = OpenConnection | CloseConnection | StoreLines | StoreRepair | LedgerRecord
