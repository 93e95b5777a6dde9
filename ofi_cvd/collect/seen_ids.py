"""Which messages of a stream were received lately, and what they said."""

from __future__ import annotations

from collections import deque


class SeenIds:
    """The newest ids of a stream with a digest of their content; the oldest are forgotten first.

    Plain integers in one dict: hundreds of streams keep thousands of ids each.

    Args:
        size: how many ids are kept (`DEDUP_LRU`).
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._order: deque[int] = deque()
        self._contents: dict[int, int] = {}
        self.get = self._contents.get  # the recorder asks once a frame

    def __contains__(self, ident: int) -> bool:
        return ident in self._contents

    def __len__(self) -> int:
        return len(self._contents)

    def add(self, ident: int, content: int = 0) -> None:
        """Remember an id; `content` is 0 where it is not compared."""
        if ident not in self._contents:
            self._order.append(ident)
            if len(self._order) > self._size:
                del self._contents[self._order.popleft()]
        self._contents[ident] = content
