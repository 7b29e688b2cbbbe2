"""How many items are begun when an answer is due: no more than can be finished, by what such calls took so far."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bundle import Tower
from edge.runtime import Pace


class Haste:
    """For the items of one tower. A segment that was never run takes no time, until it was."""

    def __init__(self, tower: Tower, pace: Pace) -> None:
        self._segments = [segment.model for segment in tower.segments]
        self._head = tower.exits[-1].head
        self._pace = pace

    def affordable(self, following: Sequence[int], left_ms: float) -> int:
        """How many of the next items can be finished in `left_ms`; `following` are the segments that they go on with.

        Their batch takes one call of each segment: only the call at hand can be late.
        """
        count, spent_ms = 0, 0.0
        for segment in following:
            spent_ms += self._ride_ms(segment)
            if spent_ms > left_ms or not self._is_one_call(count + 1):
                break
            count += 1
        return count

    def _ride_ms(self, segment: int) -> float:
        return sum(self._pace.item_ms(model) for model in (*self._segments[segment:], self._head))

    def _is_one_call(self, items: int) -> bool:
        """One item always is; how many go into a call of what was never run is not known."""
        return items == 1 or all(self._pace.share(model, items) == items for model in self._segments)
