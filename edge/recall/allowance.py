"""How many items may be refined ahead by now: some at a time, and no more in an hour than the owner allows."""

from __future__ import annotations

import time
from collections.abc import Callable

GROUP = 32  # that share a commit: one an item would wear the card; more, and a kill has more to do again


class Allowance:
    """It grows with time up to one group and begins at nothing, so that restarts do not add up. One thread."""

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._group = min(GROUP, per_hour)
        self._per_s, self._clock = per_hour / 3600, clock
        self._left, self._since = 0.0, clock()

    def group(self) -> int:
        """Items that may be refined now: a whole group, or none."""
        now = self._clock()
        self._left = min(float(self._group), self._left + (now - self._since) * self._per_s)
        self._since = now
        return self._group if self._left >= self._group else 0

    def spend(self, items: int) -> None:
        """So many were."""
        self._left -= items
