"""What the session asks the shell to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ofi_cvd.collect.group import Link
    from ofi_cvd.collect.track import Track


@dataclass(frozen=True)
class Open:
    """Connect to the link's URL, under its name."""

    link: Link


@dataclass(frozen=True)
class Close:
    """Close a connection that is no longer needed; its end is still reported."""

    conn: str
    reason: str


@dataclass(frozen=True)
class Fetch:
    """Fetch the trades `first..last` over REST."""

    track: Track
    first: int
    last: int


@dataclass(frozen=True)
class Note:
    """Put a record into the ledger."""

    event: str
    symbol: str | None = None
    stream: str | None = None
    conn: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


Action: TypeAlias = Open | Close | Fetch | Note
