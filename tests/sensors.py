"""Every power sensor that the device knows, on a board of the test's own, see tests/trees.py.

with new_tree() as root, new_sensor("ina219", root, monkeypatch) as sensor:
    sensor.play(watts=3.2, seconds=0.1)   # what it shows after 0.1 s of 3.2 W
    meter = sensor.open()
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from edge.config import I2cChip
from edge.power import Kind, Meter, Watts
from edge.power.battery import open_battery
from edge.power.estimate import Estimate, profile_of
from edge.power.hwmon import open_hwmon
from edge.power.i2c import I2cMeter
from edge.power.pmic import open_pmic
from edge.power.rails import open_jetson
from edge.power.rapl import open_rapl
from trees import Sensor, put

RANGE_UJ = 262_143_328_850


class Ina219(Sensor):
    name, kind = "hwmon", "measured_board"
    chip = "ina219"

    def __init__(self, root: Path, number: int = 2) -> None:
        super().__init__(root)
        self.folder = root / f"sys/class/hwmon/hwmon{number}"
        self.key = self.folder / "power1_input"
        put(self.folder / "name", self.chip)
        put(self.folder / "shunt_resistor", 100_000)
        put(self.folder / "in0_input", 14)
        self.show(0.0)

    def at(self, address: str) -> Ina219:
        """The same at a place on a bus."""
        (self.root / "devices" / address).mkdir(parents=True, exist_ok=True)
        (self.folder / "device").symlink_to(self.root / "devices" / address)
        return self

    def open(self) -> Meter:
        return must(open_hwmon(self.root))

    def show(self, watts: float) -> None:
        put(self.key, round(watts * 1e6))


class Ina226(Ina219):
    chip = "ina226"


class Ina3221(Sensor):
    """Three supplies at 5.04 V, which share the load; without labels unless `labels` has some."""

    name, kind = "hwmon", "measured_rails"
    labels: tuple[str, ...] = ()
    shares: tuple[float, ...] = (0.5, 0.3, 0.2)

    def __init__(self, root: Path, number: int = 3) -> None:
        super().__init__(root)
        self.folder = root / f"sys/class/hwmon/hwmon{number}"
        self.key = self.folder / "curr1_input"
        put(self.folder / "name", "ina3221")
        for channel in (1, 2, 3):
            put(self.folder / f"in{channel}_input", 5040)
            put(self.folder / f"in{channel + 3}_input", 1234)
            put(self.folder / f"curr{channel}_crit", 5000)
        put(self.folder / "in7_label", "sum of shunt voltages")
        put(self.folder / "in7_input", 9999)
        put(self.folder / "curr4_input", 99999)
        for channel, label in enumerate(self.labels, 1):
            put(self.folder / f"in{channel}_label", label)
        self.show(0.0)

    def open(self) -> Meter:
        return must(open_hwmon(self.root))

    def show(self, watts: float) -> None:
        for channel, share in enumerate(self.shares, 1):
            put(self.folder / f"curr{channel}_input", round(watts * share / 5040 * 1e6))


class OrinNano(Ina3221):
    name, labels, shares = "jetson", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), (1.0, 0.35, 0.26)

    def open(self) -> Meter:
        return must(open_jetson(self.root))


class AgxOrin(OrinNano):
    """Two chips, none of which sees the whole module."""

    labels, shares = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), (0.4, 0.3, 0.2)

    def __init__(self, root: Path, number: int = 3) -> None:
        self.second: Ina3221 | None = None
        super().__init__(root, number)
        self.second = _SecondOfAgx(root, number + 1)

    def show(self, watts: float) -> None:
        super().show(watts)
        if self.second is not None:
            self.second.show(watts)


class _SecondOfAgx(Ina3221):
    labels, shares = ("VDDQ_VDD2_1V8AO", "NC", "NC"), (0.1, 5.0, 5.0)


class I2cBus(Sensor):
    """A chip at 1-0040 behind a terminal: the bytes are real, only the ioctl that a terminal does not know is not."""

    name = "i2c"
    kind: Kind = "measured_board"
    chip = I2cChip("ina219", 1, 0x40, 0.1)
    bus_register, shunt_v, shunt_shift = 5000 // 4 << 3, 10e-6, 0

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self.registers: dict[int, int] = {}
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self._stopping = False
        self.target = Path(os.ttyname(self._theirs))
        self.key = root / "dev/i2c-1"
        self.key.parent.mkdir(parents=True)
        self.key.symlink_to(self.target)
        self.addressed: list[int] = []
        patch.setattr(fcntl, "ioctl", self._ioctl)
        self.answer: Callable[[int], bytes] = lambda register: struct.pack(">H", self.registers[register])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.show(0.0)

    def open(self) -> Meter:
        return I2cMeter(self.chip, self.root)

    def show(self, watts: float) -> None:
        self.registers = {1: self._shunt(watts / 5.0), 2: self.bus_register}

    def forbid(self) -> None:
        self.target.chmod(0)

    def say(self, text: str) -> None:
        """A number is a current in microamperes."""
        self.registers[1] = self._shunt(float(text) / 1e6)

    def close(self) -> None:
        if not self._stopping:
            self._stopping = True
            os.write(self._theirs, b"\xff")
            self._thread.join()
            os.close(self._theirs)
            os.close(self._ours)

    def _shunt(self, amperes: float) -> int:
        return round(amperes * self.chip.shunt_ohm / self.shunt_v) << self.shunt_shift & 0xFFFF

    def _ioctl(self, _fd: int, request: int, address: Any) -> int:
        assert request == 0x0703
        self.addressed.append(address)
        return 0

    def _serve(self) -> None:
        while (register := os.read(self._ours, 1)) != b"\xff":
            os.write(self._ours, self.answer(register[0]))


class I2cIna226(I2cBus):
    chip = I2cChip("ina226", 1, 0x45, 0.01)
    bus_register, shunt_v = round(5.0 / 1.25e-3), 2.5e-6


class I2cIna3221(I2cBus):
    kind = "measured_rails"
    chip = I2cChip("ina3221", 1, 0x40, 0.1)
    bus_register, shunt_v, shunt_shift = 5000 // 8 << 3, 40e-6, 3

    def show(self, watts: float) -> None:
        self.registers = dict.fromkeys((2, 4, 6), self.bus_register)
        self.registers |= {1: self._shunt(0.7 * watts / 5), 3: self._shunt(0.3 * watts / 5), 5: 0}


class Pmic(Sensor):
    """A Raspberry Pi 5 whose vcgencmd is a program of ours."""

    name = "pmic"
    kind: Kind = "measured_rails"
    is_corrected = False
    factor, offset_w = 1.0, 0.0

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        put(root / "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
        self.key, self._said = root / "vcgencmd", root / "said"
        self._become(f'[ "$1" = pmic_read_adc ] && exec cat {self._said}')
        self.show(0.0)

    def open(self) -> Meter:
        return must(open_pmic(self.root, str(self.key), is_corrected=self.is_corrected))

    def show(self, watts: float) -> None:
        rails = max(0.0, watts - self.offset_w) / self.factor
        put(
            self._said,
            f"   3V3_SYS_A current(1)={0.4 * rails / 3.3:.8f}A\n   VDD_CORE_A current(7)={0.6 * rails / 0.8:.8f}A\n"
            "   3V3_SYS_V volt(9)=3.30000000V\n   VDD_CORE_V volt(15)=0.80000000V\n"
            "   EXT5V_V volt(24)=5.15097000V\n   BATT_V volt(25)=0.00976800V",
        )

    def fail(self) -> None:
        self._become("echo 'Can not open device file: /dev/vcio' >&2; exit 255")

    def say(self, text: str) -> None:
        put(self._said, f"VDD_CORE_A current(7)={text}A\nVDD_CORE_V volt(15)=0.8V")

    def _become(self, program: str) -> None:
        put(self.key, f"#!/bin/sh\n{program}")
        self.key.chmod(0o755)


class CorrectedPmic(Pmic):
    name, kind, is_corrected = "pmic-corrected", "corrected", True
    factor, offset_w = 1.1451, 0.588


class Rapl(Sensor):
    """Two packages that share the load, their parts, the platform, and package-0 once more. It wraps in a moment."""

    name, kind = "rapl", "measured_rails"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.powercap = root / "sys/class/powercap"
        self.counters = {"intel-rapl:0": RANGE_UJ - 1_000_000.0, "intel-rapl:1": 5_000.0}
        for folder, name in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")):
            self._zone(folder, name)
        self._zone("intel-rapl:2", "psys")
        self._zone("intel-rapl-mmio:0", "package-0")
        self.key = self.powercap / "intel-rapl:0/energy_uj"
        self.play(0.0, 0.0)

    def open(self) -> Meter:
        return must(open_rapl(self.root))

    def play(self, watts: float, seconds: float) -> None:
        for folder in self.counters:
            self.counters[folder] += watts * seconds * 1e6 / len(self.counters)
            put(self.powercap / folder / "energy_uj", round(self.counters[folder]) % RANGE_UJ)

    def _zone(self, folder: str, name: str) -> None:
        put(self.powercap / folder / "name", name)
        put(self.powercap / folder / "max_energy_range_uj", RANGE_UJ)
        put(self.powercap / folder / "energy_uj", 123)


class Battery(Sensor):
    """One battery, and that of a mouse."""

    name, kind = "battery", "measured_board"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.supplies = root / "sys/class/power_supply"
        self.folder = self.supplies / "BAT0"
        self.key = self.folder / "voltage_now"
        put(self.folder / "type", "Battery")
        put(self.folder / "status", "Discharging")
        put(self.supplies / "AC/type", "Mains")
        put(self.supplies / "hidpp_battery_0/type", "Battery")
        put(self.supplies / "hidpp_battery_0/scope", "Device")
        put(self.key, 11_400_000)
        self.show(0.0)

    def open(self) -> Meter:
        return must(open_battery(self.root))

    def show(self, watts: float) -> None:
        put(self.folder / "current_now", round(watts / 11.4 * 1e6))


class Counted(Sensor):
    """No sensor: the processor time of a Raspberry Pi 4."""

    name, kind = "estimate", "estimated"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        put(root / "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0")
        self.profile = profile_of(root, None)
        self.key = root / "proc/stat"
        self.seconds = self._busy_s = 0.0
        self.play(self.profile.idle_w, 0.0)

    def open(self) -> Meter:
        return Estimate(self.profile, self.root, clock=lambda: self.seconds)

    def play(self, watts: float, seconds: float) -> None:
        self.seconds += seconds
        self._busy_s += (watts - self.profile.idle_w) / self.profile.core_w * seconds
        ticks = round(self._busy_s * os.sysconf("SC_CLK_TCK"))
        put(self.key, f"cpu  {ticks // 2} 3 {ticks - ticks // 2} 99999 777 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0")


SENSORS: Mapping[str, Any] = MappingProxyType(
    {
        "ina219": Ina219,
        "ina226": Ina226,
        "ina3221": Ina3221,
        "ina219 by I2C": I2cBus,
        "ina226 by I2C": I2cIna226,
        "ina3221 by I2C": I2cIna3221,
        "Orin Nano": OrinNano,
        "AGX Orin": AgxOrin,
        "Pi 5": Pmic,
        "Pi 5, corrected": CorrectedPmic,
        "RAPL": Rapl,
        "battery": Battery,
        "estimate": Counted,
    }
)


@contextmanager
def new_sensor(name: str, root: Path, patch: pytest.MonkeyPatch) -> Iterator[Sensor]:
    """One of SENSORS on a board."""
    kind = SENSORS[name]
    sensor = kind(root, patch) if issubclass(kind, I2cBus) else kind(root)
    try:
        yield sensor
    finally:
        if isinstance(sensor, I2cBus):
            sensor.close()


def must(meter: Meter | None) -> Meter:
    assert meter is not None
    return meter


def watts_of(meter: Meter) -> float:
    """One reading of a meter that has no counter."""
    reading = meter.read()
    assert isinstance(reading, Watts)
    return reading.value
