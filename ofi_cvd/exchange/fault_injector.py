"""What a fault does to sockets, new connections and requests; the plan says when."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ofi_cvd.exchange.faults import Fault, FaultPlan
from ofi_cvd.exchange.framefaults import FrameFaults
from ofi_cvd.exchange.reply import Reply
from ofi_cvd.exchange.rest import failure, too_many

if TYPE_CHECKING:
    from ofi_cvd.exchange.hub import Hub
    from ofi_cvd.exchange.protocols import FaultTarget


class FaultInjector:
    """Applies the faults of a plan, and those that a test injects, to a running exchange.

    Attributes:
        fired: how often each fault struck.
    """

    def __init__(self, plan: FaultPlan, frames: FrameFaults) -> None:
        self.plan, self.frames = plan, frames
        self.fired: Counter[str] = frames.fired
        self._pending: list[Fault] = []  # new connections and requests still to be hit, one entry each

    def inject(self, fault: Fault, sockets: Iterable[FaultTarget], hub: Hub, now_ms: int) -> int:
        """Let `fault` happen now; return how many sockets it hit (0 for the other families)."""
        family = fault.kind.family
        if family == "clock":
            self.fired[fault.name] += 1
            hub.clock_ms = int(fault.number)
        elif family == "frame":
            self.frames.arm(fault)
        elif family in {"route", "rest"}:
            self._pending += [fault] * (fault.count or 1)
        else:
            hit = [s for s in sockets if not s.is_stalled and s.session.concerns(fault.pattern)][: fault.count]
            self.fired[fault.name] += len(hit)
            for socket in hit:
                _inject_into_socket(fault, socket, hub, now_ms)
            return len(hit)
        return 0

    def meet(self, socket: FaultTarget, hub: Hub) -> None:
        """Apply to a new WebSocket what holds for every one, or for this one by chance."""
        for fault in self.plan.standing("slow") + self.plan.standing("silent"):
            self.fired[fault.name] += 1
            _inject_into_socket(fault, socket, hub, 0)
        standing = self.plan.standing("wrong-route")
        if standing or self._take("wrong-route") or self.plan.by_chance("wrong-route"):
            self.fired["wrong-route"] += 1
            socket.session.muted.add("*")

    def intercept(self, *, is_depth: bool) -> Fault | None:
        """Return the fault that answers the next REST request in place of the exchange; None lets it pass.

        `is_depth` says whether a book is asked for: some faults concern nothing else.
        """
        for name in ("rest-429", "rest-500", "rest-timeout", *(("depth-500", "depth-stale") if is_depth else ())):
            standing = self.plan.standing(name)
            fault = self._take(name) or (standing[0] if standing else self.plan.by_chance(name))
            if fault is not None:
                self.fired[name] += 1
                return fault
        return None

    def clear(self, name: str) -> None:
        """Forget injections of `name` that are still to come; what has happened stays."""
        self._pending = [fault for fault in self._pending if fault.name != name]

    def _take(self, name: str) -> Fault | None:
        for fault in self._pending:
            if fault.name == name:
                self._pending.remove(fault)
                return fault
        return None


def faulty_reply(fault: Fault) -> Reply | None:
    """Return what a REST fault answers; None for one that never answers."""
    if fault.name == "rest-429":
        return too_many(429, int(fault.number))
    return failure(int(fault.number)) if fault.name in {"rest-500", "depth-500"} else None


def _inject_into_socket(fault: Fault, socket: FaultTarget, hub: Hub, now_ms: int) -> None:
    if fault.name == "reset":
        socket.reset()
    elif fault.name == "close":
        socket.close(1001, "going away")
    elif fault.name == "stall":
        socket.stall()
    elif fault.name == "slow":
        socket.throttle = max(1, int(fault.number))
    elif fault.name == "silent":
        socket.session.muted.add(fault.value)
        hub.join(socket)
    else:
        goodbye = json.dumps({"e": "serverShutdown", "E": now_ms}, separators=(",", ":")).encode()
        socket.announce(goodbye, "!serverShutdown")
        asyncio.get_running_loop().call_later(fault.number, socket.close, 1001, "server shutdown")
