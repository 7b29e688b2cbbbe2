"""Power sensors without a driver: registers as the data sheets have them, over real bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import I2cChip
from edge.errors import MeterError
from edge.power.i2c import I2cMeter
from sensors import I2cBus, I2cIna226, I2cIna3221, watts_of
from trees import put


@pytest.fixture
def bus(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[I2cBus]:
    bus = I2cBus(root, monkeypatch)
    yield bus
    bus.close()


def measured_w(root: Path, name: str, shunt_ohm: float) -> float:
    return watts_of(I2cMeter(I2cChip(name, 1, 0x40, shunt_ohm), root))


def test_ina219_has_10_microvolts_and_4_millivolts(bus: I2cBus, root: Path) -> None:
    bus.registers = {1: 8_420, 2: 1_274 << 3 | 0b010}  # 84.2 mV; 5.096 V with "conversion ready"
    assert measured_w(root, "ina219", 0.1) == pytest.approx(0.842 * 5.096)


def test_ina219_above_16_volts_is_not_taken_for_a_negative_one(bus: I2cBus, root: Path) -> None:
    bus.registers = {1: 1_000, 2: 4_750 << 3}  # 19 V fills the highest bit
    assert measured_w(root, "ina219", 0.1) == pytest.approx(0.1 * 19)


def test_ina226_has_2_5_microvolts_and_1_25_millivolts(bus: I2cBus, root: Path) -> None:
    bus.registers = {1: 4_000, 2: 4_096}  # 10 mV, 5.12 V
    assert measured_w(root, "ina226", 0.01) == pytest.approx(1.0 * 5.12)


def test_ina3221_has_40_microvolts_and_8_millivolts_on_three_channels(bus: I2cBus, root: Path) -> None:
    negative = (-25 << 3) & 0xFFFF  # -1 mV on a supply without load
    bus.registers = {1: 1_000 << 3, 2: 625 << 3, 3: 500 << 3, 4: 412 << 3, 5: negative, 6: 225 << 3}
    expected = 0.4 * 5.0 + 0.2 * 3.296 - 0.01 * 1.8
    assert measured_w(root, "ina3221", 0.1) == pytest.approx(expected)


def test_address_of_the_config_is_the_one_that_is_asked(bus: I2cBus, root: Path) -> None:
    I2cMeter(I2cChip("ina219", 1, 0x4F, 0.1), root).read()
    assert bus.addressed == [0x4F]


def test_nothing_is_written_but_the_numbers_of_registers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    bus = I2cIna3221(root, monkeypatch)

    def answer(register: int) -> bytes:
        asked.append(register)
        return struct.pack(">H", bus.registers[register])

    bus.answer = answer
    bus.open().read()
    bus.close()
    assert asked == [1, 2, 3, 4, 5, 6]


def test_bus_without_pull_ups_shows_ones_and_that_is_an_error(bus: I2cBus) -> None:
    meter = bus.open()
    bus.answer = lambda _register: b"\xff\xff"
    with pytest.raises(MeterError, match=r"ina219 at 1-0040 by I2C, shunt 0.1 Ω says -0.003 W, which cannot be"):
        meter.read()


def test_swapped_shunt_is_told_what_it_looks_like(bus: I2cBus) -> None:
    meter = bus.open()
    bus.play(-3.0, 1.0)
    with pytest.raises(MeterError, match=r"which cannot be: are the two sides of its shunt swapped\?"):
        meter.read()


def test_answer_that_is_cut_short_is_an_error(bus: I2cBus) -> None:
    meter = bus.open()
    bus.answer = lambda _register: b"\x12"
    with pytest.raises(MeterError, match=r"the chip at this address sent 1 bytes, not 2"):
        meter.read()


def test_chip_with_a_driver_of_the_kernel_is_left_to_it(bus: I2cBus, root: Path) -> None:
    put(root / "sys/bus/i2c/devices/1-0040/driver/bind", "")
    with pytest.raises(MeterError, match=r"1-0040 has a driver of the kernel: set power.meter to auto or hwmon"):
        bus.open().read()
    assert bus.addressed == []


def test_file_that_is_no_bus_is_an_error(root: Path) -> None:
    put(root / "dev/i2c-1", "not a bus")
    with pytest.raises(MeterError, match=r"/dev/i2c-1: Inappropriate ioctl for device"):
        I2cMeter(I2cChip("ina219", 1, 0x40, 0.1), root).read()


def test_source_says_chip_place_and_shunt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = I2cIna226(root, monkeypatch)
    assert bus.open().source == "ina226 at 1-0045 by I2C, shunt 0.01 Ω"
    bus.close()
