"""No sensor: the processor time of the whole board times the watts of its profile. A guess, and labelled as one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import MeterError
from edge.power.meter import Joules, Kind
from edge.power.sysfs import read_text


@dataclass(frozen=True, slots=True)
class Profile:
    """A board with nothing attached: watts idle, and with all `cores` busy. name: how its model begins."""

    name: str
    idle_w: float
    busy_w: float
    cores: int

    @property
    def core_w(self) -> float:
        """What one busy core adds."""
        return (self.busy_w - self.idle_w) / self.cores


# From published measurements of others, on the 5 V side of the supply; none was taken by this project.
PROFILES = (
    Profile("Raspberry Pi 5", 2.7, 8.8, 4),
    Profile("Raspberry Pi Compute Module 5", 2.7, 8.8, 4),
    Profile("Raspberry Pi 4", 2.7, 6.4, 4),
    Profile("Raspberry Pi Compute Module 4", 2.7, 6.4, 4),
)
UNKNOWN = Profile("unknown board", 5.0, 13.0, 4)
_BUSY = (0, 1, 2, 5, 6)  # of /proc/stat: user, nice, system, irq, softirq; idle, iowait and stolen time take no power


class Estimate:
    """Counts the joules that the profile gives since it was made. Knows nothing of disks, radios, clocks or heat."""

    kind: Kind = "estimated"
    interval_s = 0.1  # the kernel counts processor time in steps of 10 ms

    def __init__(self, profile: Profile, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._profile, self._stat, self._clock = profile, root / "proc/stat", clock
        self._began = clock()
        self._last_s, self._busy_s = self._processor_s(), 0.0
        self.source = f"{profile.name}, {profile.idle_w:g} W and {profile.core_w:.2g} W for each busy core"

    def read(self) -> Joules:
        now_s = self._processor_s()
        self._busy_s += max(0.0, now_s - self._last_s)  # the sum goes back a tick when a core is switched off
        self._last_s = now_s
        idle_j = self._profile.idle_w * (self._clock() - self._began)
        return Joules(idle_j + self._profile.core_w * self._busy_s)

    def _processor_s(self) -> float:
        """Busy seconds of all cores since boot. Raises MeterError."""
        text = read_text(self._stat)
        try:
            ticks = text.partition("\n")[0].removeprefix("cpu ").split()
            return sum(int(ticks[field]) for field in _BUSY) / os.sysconf("SC_CLK_TCK")
        except (ValueError, IndexError):
            raise MeterError(f"{self._stat} begins with {text[:40]!r}, which is no processor time") from None


def profile_of(root: Path, idle_w: float | None) -> Profile:
    """The board's own, or UNKNOWN; `idle_w` is what the owner measured, and takes the place of the table's."""
    model = root / "proc/device-tree/model"
    name = read_text(model) if model.exists() else ""
    profile = next((profile for profile in PROFILES if name.startswith(profile.name)), UNKNOWN)
    if idle_w is None:
        return profile
    return replace(profile, idle_w=idle_w, busy_w=profile.busy_w - profile.idle_w + idle_w)


def open_estimate(root: Path, idle_w: float | None) -> Estimate:
    """Raises MeterError where the kernel does not say its processor time."""
    return Estimate(profile_of(root, idle_w), root)
