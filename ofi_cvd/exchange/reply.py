"""An HTTP answer as a value; the connection renders it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; `headers` are those beyond type, length and date."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
