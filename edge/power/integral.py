"""Readings to joules: differences of a counter as they are, watts by the rectangle rule over monotonic time.

A sensor's value stands for the time since the one before: chips average over their sample period, where the rectangle
rule is twice as good as the trapezoid.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

from edge.power.meter import MOST_W, Joules, Reading

LONGEST_S = 2.0  # between two readings; what happened in a longer gap is not known


@dataclass(frozen=True, slots=True)
class Interval:
    """The time between two readings, and the energy that went in it."""

    seconds: float
    joules: float

    @property
    def watts(self) -> float:
        return self.joules / self.seconds


class Integral:
    """Of the readings of one meter."""

    def __init__(self) -> None:
        self._last: tuple[float, Reading] | None = None

    def add(self, reading: Reading, now: float) -> Interval | None:
        """The interval that ends with this reading, `now` in monotonic seconds.

        None for the first one, after a gap, and where a counter makes more than MOST_W of it, because it was reset.
        """
        last, self._last = self._last, (now, reading)
        if last is None or not 0 < (seconds := now - last[0]) <= LONGEST_S:
            return None
        if isinstance(reading, Joules):
            joules = reading.total - (last[1].total if isinstance(last[1], Joules) else reading.total)
        else:
            joules = reading.value * seconds
        return Interval(seconds, joules) if 0 <= joules <= MOST_W * seconds else None


class Window:
    """The last intervals: as many as `seconds` need."""

    def __init__(self, seconds: float) -> None:
        self._longest_s = seconds
        self._intervals: deque[Interval] = deque()
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """What it holds."""
        return self._seconds

    @property
    def is_full(self) -> bool:
        return self._seconds >= self._longest_s

    def add(self, interval: Interval) -> None:
        self._intervals.append(interval)
        self._seconds += interval.seconds
        while self._seconds - self._intervals[0].seconds >= self._longest_s:
            self._seconds -= self._intervals.popleft().seconds

    def clear(self) -> None:
        self._intervals.clear()
        self._seconds = 0.0

    def mean_w(self) -> float | None:
        """None when it is empty."""
        return sum(one.joules for one in self._intervals) / self._seconds if self._intervals else None

    def median_w(self) -> float:
        """Of at least one interval."""
        return statistics.median(one.watts for one in self._intervals)
