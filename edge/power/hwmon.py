"""INA219, INA226 and their like by the driver of the kernel: one supply, microwatts. No device access is needed.

Source: Linux, Documentation/hwmon/ina2xx. A wrong `shunt_resistor` scales every figure, so the source names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import MeterError
from edge.power.meter import Kind, Meter, Watts, plausible
from edge.power.rails import open_ina3221
from edge.power.sysfs import address, hwmon_chips, read_number, read_text

_CHIPS = frozenset({"ina219", "ina220", "ina226", "ina230", "ina231"})


@dataclass(frozen=True, slots=True)
class PowerChip:
    """One chip; `folder` is its hwmonN."""

    folder: Path
    source: str
    kind: Kind = "measured_board"
    interval_s: float = 0.0

    def read(self) -> Watts:
        return plausible(read_number(self.folder / "power1_input") / 1e6, self.source)


def open_hwmon(root: Path) -> Meter | None:
    """The INA chip of the lowest address; None when there is none. Raises MeterError when it cannot be read."""
    chips = hwmon_chips(root, _CHIPS)
    if not chips:
        return open_ina3221(root)
    chip = chips[0]
    source = f"{read_text(chip / 'name')} at {address(chip)}{_shunt(chip)}"
    return PowerChip(chip, source if len(chips) == 1 else f"{source}, the first of {len(chips)}")


def _shunt(chip: Path) -> str:
    try:
        return f", shunt {read_number(chip / 'shunt_resistor') / 1e6:g} Ω"
    except MeterError:
        return ""
