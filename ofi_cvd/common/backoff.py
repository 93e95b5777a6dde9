"""How long to wait before trying again, and how often an address may try at all.

See docs/protocol.md#behaviour-to-expect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

BUDGET_WINDOW_S = 300.0


def backoff_delays(rand: Callable[[], float], first_s: float = 1.0, longest_s: float = 60.0) -> Iterator[float]:
    """Yield waits in seconds: exponential, capped, with full jitter (uniform from zero), for ever.

    Args:
        rand: uniform in [0, 1).
        first_s: bound of the first wait.
        longest_s: bound that later waits never pass.
    """
    bound = first_s
    while True:
        yield rand() * bound
        bound = min(2 * bound, longest_s)


class ConnectBudget:
    """Connection attempts of this address: at most `attempts` in any five minutes."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._spent: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Spend one attempt at monotonic second `now`; False if none is left yet."""
        while self._spent and now - self._spent[0] >= BUDGET_WINDOW_S:
            self._spent.popleft()
        if len(self._spent) >= self._attempts:
            return False
        self._spent.append(now)
        return True
