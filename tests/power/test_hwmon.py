"""INA chips and supplies by the driver of the kernel: which files are read, and which are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import MeterError
from edge.power import Watts
from edge.power.hwmon import open_hwmon
from edge.power.rails import open_jetson
from sensors import AgxOrin, Ina219, Ina226, Ina3221, OrinNano, must, watts_of
from trees import no_rights, put


def test_microwatts_become_watts(root: Path) -> None:
    Ina219(root).play(4.3, 1.0)
    assert must(open_hwmon(root)).read() == Watts(4.3)


def test_source_names_chip_address_and_shunt(root: Path) -> None:
    Ina226(root).at("1-0045")
    assert must(open_hwmon(root)).source == "ina226 at 1-0045, shunt 0.1 Ω"


def test_wrong_shunt_can_be_seen_in_the_source(root: Path) -> None:
    chip = Ina219(root)
    put(chip.folder / "shunt_resistor", 10_000)
    assert must(open_hwmon(root)).source == "ina219 at hwmon2, shunt 0.01 Ω"


def test_driver_that_does_not_say_its_shunt_measures_all_the_same(root: Path) -> None:
    chip = Ina219(root)
    (chip.folder / "shunt_resistor").unlink()
    chip.play(2.0, 1.0)
    meter = must(open_hwmon(root))
    assert (meter.source, meter.read()) == ("ina219 at hwmon2", Watts(2.0))


def test_numbers_of_hwmon_change_from_boot_to_boot_and_the_address_decides(root: Path) -> None:
    second, first = Ina219(root, 0).at("1-0041"), Ina226(root, 7).at("1-0040")
    second.play(1.0, 1.0)
    first.play(5.0, 1.0)
    meter = must(open_hwmon(root))
    assert meter.read() == Watts(5.0)
    assert meter.source == "ina226 at 1-0040, shunt 0.1 Ω, the first of 2"


def test_other_chips_of_the_board_are_no_power_sensors(root: Path) -> None:
    for number, name in enumerate(("cpu_thermal", "nvme", "rp1_adc", "pwmfan")):
        put(root / f"sys/class/hwmon/hwmon{number}/name", name)
        put(root / f"sys/class/hwmon/hwmon{number}/power1_input", 1_000_000)
    assert open_hwmon(root) is None


def test_ina3221_without_labels_is_the_sum_of_its_channels(root: Path) -> None:
    chip = Ina3221(root)
    for channel, milliamperes in ((1, 100), (2, 200), (3, -8)):  # a supply without load is a little below nothing
        put(chip.folder / f"curr{channel}_input", milliamperes)
    meter = must(open_hwmon(root))
    assert watts_of(meter) == pytest.approx(5.04 * 0.292)
    assert meter.kind == "measured_rails"
    assert meter.source == "ina3221 at hwmon3, all channels"


def test_ina219_goes_before_an_ina3221(root: Path) -> None:
    Ina3221(root).play(1.0, 1.0)
    Ina219(root).play(6.0, 1.0)
    assert must(open_hwmon(root)).read() == Watts(6.0)


def test_orin_nano_is_its_input_alone_for_the_others_are_behind_it(root: Path) -> None:
    board = OrinNano(root)
    for channel, milliamperes in ((1, 1480), (2, 520), (3, 380)):
        put(board.folder / f"curr{channel}_input", milliamperes)
    meter = must(open_jetson(root))
    assert watts_of(meter) == pytest.approx(7.4592)
    assert (meter.kind, meter.source) == ("measured_rails", "Jetson rails VDD_IN")


def test_agx_orin_is_the_sum_over_both_chips_without_what_is_not_connected(root: Path) -> None:
    AgxOrin(root).play(26.0, 1.0)
    meter = must(open_jetson(root))
    assert watts_of(meter) == pytest.approx(26.0, rel=1e-3)
    assert meter.source == "Jetson rails VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0 + VDDQ_VDD2_1V8AO"
    assert meter.kind == "measured_rails"  # never the board: public measurements at the wall are twice the sum


def test_supplies_of_a_jetson_are_not_taken_for_a_sensor_on_the_input(root: Path) -> None:
    OrinNano(root).play(7.0, 1.0)
    assert open_hwmon(root) is None


def test_jetson_whose_files_are_roots_alone_is_an_error_and_not_a_jetson_without_sensors(root: Path) -> None:
    board = OrinNano(root)
    (board.folder / "curr1_input").chmod(0)
    meter = must(open_jetson(root))
    with no_rights(), pytest.raises(MeterError, match=r"curr1_input may not be read by this user"):
        meter.read()


def test_one_supply_that_fails_fails_the_sum(root: Path) -> None:
    board = AgxOrin(root)
    board.play(20.0, 1.0)
    meter = must(open_jetson(root))
    (board.folder / "curr3_input").unlink()
    with pytest.raises(MeterError, match=r"curr3_input: No such file or directory"):
        meter.read()
