"""What the process takes of the board: processor, memory, disk, heat. Measured, or left out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look.

    cpu_percent:   of one core, of this process, since the look before
    rss_mb:        resident memory; most of it are mapped model files that the system can take back
    anonymous_mb:  the part that it cannot
    disk_free_mb:  on the disk of the state folder
    temperature_c: the hottest sensor; None where there is none
    """

    cpu_percent: float
    rss_mb: float
    anonymous_mb: float
    disk_free_mb: float
    temperature_c: float | None


class Vitals:
    """Looks at this process and its board."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._process = psutil.Process()
        self._process.cpu_percent()  # counts from here

    def sample(self) -> Sample:
        """One look; some 0.5 ms."""
        return Sample(
            cpu_percent=self._process.cpu_percent(),
            rss_mb=round(self._process.memory_info().rss / 1e6, 1),
            anonymous_mb=round(_anonymous_bytes() / 1e6, 1),
            disk_free_mb=round(shutil.disk_usage(self._state).free / 1e6, 1),
            temperature_c=_hottest(),
        )


def _anonymous_bytes() -> int:
    """RssAnon, which psutil gets only by walking all mappings."""
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) * 1024


def _hottest() -> float | None:
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    values = [sensor.current for group in sensors.values() for sensor in group if sensor.current is not None]
    return max(values, default=None)
