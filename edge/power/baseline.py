"""What the board takes with nothing to do: the median of at least 30 s of it, kept with its age.

It is measured whenever there is nothing to do, and is no longer valid after an hour, with another clock governor, or
when the idle board is 5 °C warmer or colder than it was. Under load, and just after it, a board is warmer anyway: that
says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import MeterError
from edge.power.integral import Interval, Window
from edge.power.sysfs import read_number, read_text

WINDOW_S = 30.0
LONGEST_AGE_S = 3_600.0
WARMER_C = 5.0
SETTLED_S = 10.0  # of nothing to do, before the temperature is judged
MOST_LOAD = 0.2  # runnable threads of the whole system, over a minute
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be alike. temperature_c of the hottest zone; None, and an empty governor, where the board has none."""

    load: float
    temperature_c: float | None
    governor: str


@dataclass(frozen=True, slots=True)
class _Measured:
    watts: float
    at: float
    conditions: Conditions


class Baseline:
    """The idle power of one meter. Times are monotonic seconds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._idle = Window(WINDOW_S)
        self._look_at = float("-inf")
        self._measured: _Measured | None = None

    def add(self, interval: Interval, now: float) -> None:
        """An interval in which nothing was to do; they must follow each other."""
        self._idle.add(interval)
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._judge(read_conditions(self._root), now)

    def interrupt(self) -> None:
        """Something was to do: the next 30 s begin after it."""
        self._idle.clear()

    def forget(self) -> None:
        """Another meter measures from now on."""
        self.interrupt()
        self._measured = None

    def watts(self, now: float) -> float | None:
        """None when there is none that is valid."""
        return self._measured.watts if self._measured and self.age_s(now) is not None else None

    def age_s(self, now: float) -> float | None:
        """Seconds since it was measured."""
        age_s = now - self._measured.at if self._measured else None
        return age_s if age_s is not None and age_s <= LONGEST_AGE_S else None

    def _judge(self, here: Conditions, now: float) -> None:
        if here.load >= MOST_LOAD:
            self.interrupt()
            return
        if self._measured and not self._are_alike(self._measured.conditions, here):
            self.forget()
        if self._idle.is_full:
            self._measured = _Measured(self._idle.median_w(), now, here)

    def _are_alike(self, then: Conditions, here: Conditions) -> bool:
        if then.governor != here.governor:
            return False
        if then.temperature_c is None or here.temperature_c is None or self._idle.seconds < SETTLED_S:
            return True
        return abs(then.temperature_c - here.temperature_c) <= WARMER_C


def read_conditions(root: Path) -> Conditions:
    """As they are now. What cannot be read is as if it were not there, and a load that cannot is no idleness."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    warmth = [celsius for zone in zones if (celsius := _celsius(zone)) is not None]
    try:
        load = float(read_text(root / "proc/loadavg").split()[0])
    except (MeterError, ValueError, IndexError):
        load = float("inf")
    try:
        governor = read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    except MeterError:
        governor = ""
    return Conditions(load, max(warmth, default=None), governor)


def _celsius(zone: Path) -> float | None:
    try:
        return read_number(zone) / 1e3
    except MeterError:
        return None
