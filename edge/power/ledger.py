"""Who used the joules: each interval's energy goes to what the compute thread was doing in it.

What the board takes with nothing to do is each activity's by its seconds; what it takes above that (net) is due to the
work, also where that was a small part of the interval. Gross is both. A segment call is shorter than a sensor's sample,
so a figure for one item alone means nothing: figures are means over many.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType
from typing import Final

from edge.power.integral import Interval
from edge.power.meter import KINDS, Kind

REMEMBER: Final = "remember"
RECALL: Final = "recall"
AHEAD: Final = "ahead"  # refining in idle time
IDLE: Final = "idle"


@dataclass(frozen=True, slots=True)
class Spent:
    """What one activity took, by meters of one kind.

    seconds, gross_j: its time, and the board's energy in it; count: items or questions that it was for
    net_j, net_count: above the idle board; of the intervals for which that was known
    """

    seconds: float = 0.0
    gross_j: float = 0.0
    count: int = 0
    net_j: float = 0.0
    net_count: int = 0

    def __add__(self, more: Spent) -> Spent:
        return Spent(
            self.seconds + more.seconds,
            self.gross_j + more.gross_j,
            self.count + more.count,
            self.net_j + more.net_j,
            self.net_count + more.net_count,
        )

    @property
    def gross_j_each(self) -> float | None:
        """Joules of the board for each item; None before the first."""
        return self.gross_j / self.count if self.count else None

    @property
    def net_j_each(self) -> float | None:
        """The same without what the idle board takes."""
        return self.net_j / self.net_count if self.net_count else None


class Ledger:
    """Any thread may call. Of two activities at once, the first of `activities` counts: its calls go before others."""

    def __init__(
        self, activities: tuple[str, ...] = (RECALL, REMEMBER, AHEAD), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = dict.fromkeys(activities, 0)
        self._now, self._since = IDLE, clock()
        self._seconds = dict.fromkeys((*activities, IDLE), 0.0)
        self._counts = dict.fromkeys((*activities, IDLE), 0)
        self._spent = {kind: dict.fromkeys((*activities, IDLE), Spent()) for kind in KINDS}

    def during(self, activity: str) -> AbstractContextManager[None]:
        """Inside it, the compute thread is at this activity; some 2 µs. Raises KeyError for an unknown one."""
        return _During(self, activity)

    def count(self, activity: str, count: int = 1) -> None:
        """So many items or questions are done."""
        with self._lock:
            self._counts[activity] += count

    def add(self, kind: Kind, interval: Interval, idle_w: float | None) -> bool:
        """Share out the energy since the last call; whether all of it was idle. idle_w: of the board, if known."""
        with self._lock:
            seconds, counts = self._take()
            idle_s, active_s = seconds.pop(IDLE), sum(seconds.values())
            base_w = interval.watts if idle_w is None else idle_w
            net_j = interval.joules - base_w * interval.seconds
            spent = self._spent[kind]
            for activity, active in seconds.items():
                share = active / active_s if active_s else 0.0
                added = Spent(active, base_w * active + share * net_j, counts[activity])
                if idle_w is not None:
                    added = replace(added, net_j=share * net_j, net_count=added.count)
                spent[activity] += added
            spent[IDLE] += Spent(idle_s, base_w * idle_s + (0.0 if active_s else net_j))
            return active_s == 0

    def drop(self) -> None:
        """Nobody knows what went since the last call: the time and what was counted in it are left out."""
        with self._lock:
            self._take()

    def spent(self, kind: Kind) -> Mapping[str, Spent]:
        """So far, by activity; `idle` is among them."""
        with self._lock:
            return MappingProxyType(dict(self._spent[kind]))

    def move(self, activity: str, step: int) -> None:
        """One more, or one less, is inside the activity."""
        with self._lock:
            self._settle()
            self._inside[activity] += step
            self._now = next((name for name, inside in self._inside.items() if inside), IDLE)

    def _settle(self) -> None:
        now = self._clock()
        self._seconds[self._now] += now - self._since
        self._since = now

    def _take(self) -> tuple[dict[str, float], dict[str, int]]:
        self._settle()
        taken = self._seconds, self._counts
        self._seconds, self._counts = dict.fromkeys(self._seconds, 0.0), dict.fromkeys(self._counts, 0)
        return taken


class _During(AbstractContextManager[None]):
    __slots__ = ("_activity", "_ledger")

    def __init__(self, ledger: Ledger, activity: str) -> None:
        self._ledger, self._activity = ledger, activity

    def __enter__(self) -> None:
        self._ledger.move(self._activity, 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.move(self._activity, -1)
