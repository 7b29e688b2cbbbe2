"""INA3221 by the driver of the kernel: volts and milliamperes of three supplies, which are multiplied here.

On a Jetson the supplies have labels; see `rails_to_add`. The chip has no power file; in4 to in7 are shunt voltages and
curr4 is a sum, so none of these is read. Source: Linux, Documentation/hwmon/ina3221.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.power.meter import Kind, Watts, plausible
from edge.power.sysfs import address, hwmon_chips, read_number, read_text

WHOLE_MODULE = "VDD_IN"  # of an Orin Nano or NX: all that the module takes, the carrier board left out
_CHIPS = frozenset({"ina3221"})
_CHANNELS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Rail:
    """One supply: its label, empty where the board gives none, and the chip and channel that measure it."""

    label: str
    chip: Path
    channel: int

    def watts(self) -> float:
        """Can be a little below nothing on a supply without load. Raises MeterError."""
        millivolts, milliamperes = (read_number(self.chip / f"{what}{self.channel}_input") for what in ("in", "curr"))
        return millivolts * milliamperes / 1e6


@dataclass(frozen=True, slots=True)
class Rails:
    """The sum of some supplies."""

    rails: tuple[Rail, ...]
    source: str
    kind: Kind = "measured_rails"
    interval_s: float = 0.0

    def read(self) -> Watts:
        return plausible(sum(rail.watts() for rail in self.rails), self.source)


def open_jetson(root: Path) -> Rails | None:
    """The supplies that have labels; None when there are none. Raises MeterError when they cannot be read."""
    rails = rails_to_add([rail for rail in _rails(root) if rail.label])
    return Rails(rails, f"Jetson rails {' + '.join(rail.label for rail in rails)}") if rails else None


def open_ina3221(root: Path) -> Rails | None:
    """The supplies that somebody wired to a chip of their own, which has no labels. Like `open_jetson`."""
    rails = tuple(rail for rail in _rails(root) if not rail.label)
    chips = ", ".join(sorted({address(rail.chip) for rail in rails}))
    return Rails(rails, f"ina3221 at {chips}, all channels") if rails else None


def rails_to_add(rails: list[Rail]) -> tuple[Rail, ...]:
    """Those whose sum is what the module takes.

    Orin Nano and NX: VDD_IN alone, for the others are behind it. AGX Orin has no VDD_IN: all of both its chips.
    """
    whole = tuple(rail for rail in rails if rail.label == WHOLE_MODULE)
    return whole or tuple(rail for rail in rails if "NC" not in rail.label)


def _rails(root: Path) -> list[Rail]:
    return [
        Rail(_label(chip, channel), chip, channel)
        for chip in hwmon_chips(root, _CHIPS)
        for channel in _CHANNELS
        if (chip / f"in{channel}_input").exists()
    ]


def _label(chip: Path, channel: int) -> str:
    file = chip / f"in{channel}_label"
    return read_text(file) if file.exists() else ""
