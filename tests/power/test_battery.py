"""Batteries: only the board's own, and only while they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import MeterError
from edge.power import Watts
from edge.power.battery import open_battery
from sensors import Battery, must, watts_of
from trees import put


def test_volts_times_amperes_where_there_are_no_watts(root: Path) -> None:
    battery = Battery(root)
    put(battery.folder / "current_now", 500_000)
    assert watts_of(battery.open()) == pytest.approx(5.7)


def test_watts_go_before_their_product(root: Path) -> None:
    battery = Battery(root)
    put(battery.folder / "power_now", 9_250_000)
    assert battery.open().read() == Watts(9.25)


def test_drivers_that_say_what_is_given_as_negative_mean_the_same(root: Path) -> None:
    battery = Battery(root)
    put(battery.folder / "current_now", -500_000)
    assert watts_of(battery.open()) == pytest.approx(5.7)


def test_two_batteries_are_added_up_and_one_that_rests_is_left_out(root: Path) -> None:
    battery = Battery(root)
    battery.play(4.0, 1.0)
    for name, status in (("BAT1", "Discharging"), ("BAT2", "Not charging")):
        put(battery.supplies / name / "type", "Battery")
        put(battery.supplies / name / "status", status)
        put(battery.supplies / name / "power_now", 2_000_000)
    meter = battery.open()
    assert meter.source == "battery BAT0 + BAT1 + BAT2"
    assert watts_of(meter) == pytest.approx(6.0, rel=1e-3)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_battery_that_gives_nothing_measures_nothing(root: Path, status: str) -> None:
    battery = Battery(root)
    put(battery.folder / "status", status)
    with pytest.raises(MeterError, match=rf"battery BAT0 is {status}: it measures only what it gives"):
        battery.open().read()


def test_battery_of_a_mouse_is_not_the_boards(root: Path) -> None:
    put(root / "sys/class/power_supply/hidpp_battery_0/type", "Battery")
    put(root / "sys/class/power_supply/hidpp_battery_0/scope", "Device")
    put(root / "sys/class/power_supply/AC/type", "Mains")
    assert open_battery(root) is None
    Battery(root)
    assert must(open_battery(root)).source == "battery BAT0"
