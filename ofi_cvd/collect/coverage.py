"""Whether a stream without a chain was carried without a hole when one connection took over from another.

Best quotes and spot books have ids that grow but do not chain. One connection delivers in order, so what it brings has
no hole. Two connections have none between them if the earlier one brought the first update of the later one, or one
after it. Where that does not happen, the time from the last receipt before to that first update is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

OVERLAP_S = 2.0  # an earlier connection may lag behind a later one by so much


@dataclass(frozen=True)
class Unproven:
    """A connection's first update that no earlier connection has reached yet.

    Attributes:
        conn: the connection.
        first: the update's id.
        start_ns: the stream's last receipt before it.
        end_ns: its receipt.
        due: monotonic second from which nobody is expected to reach it any more.
    """

    conn: str
    first: int
    start_ns: int
    end_ns: int
    due: float


class Coverage:
    """What the connections of one stream prove together.

    Attributes:
        reach: the highest id brought by a connection that continues what was known before; None before the first.
        unproven: first updates whose overlap is not proven yet.
    """

    def __init__(self) -> None:
        self.reach: int | None = None
        self._carriers: set[str] = set()  # open connections that continue what was known before
        self._waiting: dict[str, int] = {}  # the newest id of connections whose overlap is not proven
        self.unproven: list[Unproven] = []
        self._gone: set[str] = set()

    def vouch(self, conn: str, old: str) -> None:
        """Let a connection that brought nothing yet continue what `old` carries: another stream proves the overlap."""
        if old in self._carriers:
            self._carriers.add(conn)

    def restart(self, conn: str, number: int) -> None:
        """Begin anew with `conn`: what came before is cut off by a gap that is recorded."""
        self._carriers, self._waiting, self.unproven, self.reach = {conn}, {}, [], number

    def take(self, conn: str, number: int, start_ns: int, recv_ns: int, now: float) -> None:
        """Take an update that `conn` brought; `start_ns` is the stream's last receipt before it."""
        reach = self.reach
        if conn in self._carriers:
            if reach is None or number > reach:
                self.reach = number
                if self.unproven:
                    self._prove()
        elif conn in self._waiting:
            self._waiting[conn] = max(number, self._waiting[conn])
        elif reach is None:
            self.restart(conn, number)
        elif number <= reach:
            self._carriers.add(conn)
        else:
            due = now + OVERLAP_S if self._carriers else now
            self.unproven.append(Unproven(conn, number, start_ns, recv_ns, due))
            self._waiting[conn] = number

    def end(self, conn: str) -> None:
        """Note that a connection is gone."""
        self._carriers.discard(conn)
        if conn in self._waiting:
            self._gone.add(conn)

    def due(self, now: float) -> list[Unproven]:
        """Return the first updates that nobody reached in time: each is the end of a gap. Their connections go on."""
        late = [one for one in self.unproven if not self._carriers or now >= one.due]
        for one in late:
            self._accept(one)
        if late:
            self._prove()
        return late

    def _prove(self) -> None:
        while reached := [one for one in self.unproven if self.reach is not None and one.first <= self.reach]:
            for one in reached:
                self._accept(one)

    def _accept(self, one: Unproven) -> None:
        self.unproven.remove(one)
        newest = self._waiting.pop(one.conn, one.first)
        self.reach = newest if self.reach is None else max(self.reach, newest)
        if one.conn in self._gone:
            self._gone.discard(one.conn)
        else:
            self._carriers.add(one.conn)
