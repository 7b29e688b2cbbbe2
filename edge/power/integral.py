"""Readings to joules: differences of a counter as they are, watts by the rectangle rule over monotonic time.

A sensor's value stands for the time since the one before: chips average over their sample period, where the rectangle
rule is twice as good as the trapezoid.
"""

from __future__ import annotations

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
