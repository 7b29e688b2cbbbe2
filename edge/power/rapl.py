"""Intel's and AMD's energy counters: microjoules of the processor packages, not of the board; root's alone since 2020.

Source: Linux, Documentation/power/powercap. Each counter begins again after `max_energy_range_uj`, some 262 kJ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import MeterError
from edge.power.meter import Joules, Kind
from edge.power.sysfs import read_number, read_text


@dataclass(frozen=True, slots=True)
class _Package:
    folder: Path
    range_uj: int

    def counter_uj(self) -> int:
        """Raises MeterError."""
        counter = read_number(self.folder / "energy_uj")
        if not 0 <= counter <= self.range_uj:
            raise MeterError(f"{self.folder} counts {counter} µJ: must be 0 to {self.range_uj}")
        return counter


class Rapl:
    """The sum over some packages; read more often than they wrap, which is every 44 minutes at 100 W."""

    kind: Kind = "measured_rails"
    interval_s = 0.0

    def __init__(self, folders: list[Path]) -> None:
        """Raises MeterError."""
        self.source = f"RAPL {' + '.join(read_text(folder / 'name') for folder in folders)}"
        self._packages = [_Package(folder, _range_uj(folder)) for folder in folders]
        self._last_uj = [package.counter_uj() for package in self._packages]
        self._total_uj = 0

    def read(self) -> Joules:
        counters = [package.counter_uj() for package in self._packages]
        for package, now, last in zip(self._packages, counters, self._last_uj, strict=True):
            self._total_uj += (now - last) % package.range_uj
        self._last_uj = counters
        return Joules(self._total_uj / 1e6)


def _range_uj(folder: Path) -> int:
    if (range_uj := read_number(folder / "max_energy_range_uj")) <= 0:
        raise MeterError(f"{folder} has a range of {range_uj} µJ, which cannot be")
    return range_uj


def open_rapl(root: Path) -> Rapl | None:
    """The packages, each once; None when there are none. Raises MeterError when they cannot be read.

    Parts of a package (core, uncore, dram) are in the same folder, the whole platform (psys) has them all inside, and
    intel-rapl-mmio shows package-0 a second time.
    """
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = [zone for zone in zones if read_text(zone / "name").startswith("package-")]
    return Rapl(packages) if packages else None
