"""INA219, INA226 and INA3221 read from the I2C bus itself, for a kernel without their driver.

Registers are 16 bits, the high byte first; power is the product of bus and shunt voltage, so that no calibration has to
be written: this only reads. Not every chip can be asked what it is, and a bus has others that may not bear to be asked,
so the config says which one is where. Source: Texas Instruments, data sheets SBOS448, SBOS547, SBOS576.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from edge.config import I2cChip
from edge.errors import MeterError
from edge.power.meter import Kind, Watts, plausible

_I2C_SLAVE = 0x0703  # ioctl: the address that the following reads and writes go to


@dataclass(frozen=True, slots=True)
class _Layout:
    """Registers as pairs (shunt, bus), volts of their lowest bit, and by how many bits each is shifted to the left."""

    channels: tuple[tuple[int, int], ...]
    shunt_v: float
    bus_v: float
    shunt_shift: int
    bus_shift: int
    kind: Kind


_LAYOUTS = {
    "ina219": _Layout(((1, 2),), 10e-6, 4e-3, 0, 3, "measured_board"),
    "ina226": _Layout(((1, 2),), 2.5e-6, 1.25e-3, 0, 0, "measured_board"),
    "ina3221": _Layout(((1, 2), (3, 4), (5, 6)), 40e-6, 8e-3, 3, 3, "measured_rails"),
}


class I2cMeter:
    """One chip on a bus."""

    interval_s = 0.0

    def __init__(self, chip: I2cChip, root: Path) -> None:
        self._chip, self._bus = chip, root / f"dev/i2c-{chip.bus}"
        self._layout = _LAYOUTS[chip.name]
        self._driver = root / f"sys/bus/i2c/devices/{chip.bus}-{chip.address:04x}/driver"
        self.kind = self._layout.kind
        self.source = f"{chip.name} at {chip.bus}-{chip.address:04x} by I2C, shunt {chip.shunt_ohm:g} Ω"

    def read(self) -> Watts:
        # The driver sets the register that a read takes: both at it would get each other's values.
        if self._driver.exists():
            raise MeterError(f"{self._driver.parent} has a driver of the kernel: set power.meter to auto or hwmon")
        try:
            bus = os.open(self._bus, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(bus, _I2C_SLAVE, self._chip.address)
                watts = sum(self._watts(bus, *registers) for registers in self._layout.channels)
            finally:
                os.close(bus)
        except OSError as error:
            raise MeterError(f"{self.source}: {self._bus}: {error.strerror or error}") from None
        return plausible(watts, self.source)

    def _watts(self, bus: int, shunt: int, volts: int) -> float:
        layout = self._layout
        amperes = (_word(bus, shunt, is_signed=True) >> layout.shunt_shift) * layout.shunt_v / self._chip.shunt_ohm
        return amperes * (_word(bus, volts, is_signed=False) >> layout.bus_shift) * layout.bus_v


def _word(bus: int, register: int, *, is_signed: bool) -> int:
    """A register. The bus voltage of an INA219 has no sign: it fills all 16 bits from 16.4 V on."""
    os.write(bus, bytes([register]))
    answer = os.read(bus, 2)
    if len(answer) != 2:
        raise MeterError(f"the chip at this address sent {len(answer)} bytes, not 2")
    return int.from_bytes(answer, "big", signed=is_signed)
