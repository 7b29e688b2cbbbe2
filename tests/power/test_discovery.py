"""Which meter is taken, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import MeterName, PowerConfig
from edge.power import find_meter
from sensors import Battery, Counted, I2cBus, Ina219, OrinNano, Pmic, Rapl
from trees import no_rights, put

AUTO = PowerConfig()


def find(root: Path, config: PowerConfig = AUTO, above: MeterName | None = None) -> tuple[str, str]:
    found = find_meter(config, root, str(root / "vcgencmd"), above)
    return found.name, found.why


def test_what_sees_the_whole_board_goes_before_what_sees_a_part_and_that_before_a_guess(root: Path) -> None:
    Counted(root)
    assert find(root) == ("estimate", "no sensor was found")
    Battery(root)
    assert find(root)[0] == "battery"
    Rapl(root)
    assert find(root)[0] == "rapl"
    Pmic(root)
    assert find(root)[0] == "pmic"
    OrinNano(root)
    assert find(root)[0] == "jetson"
    Ina219(root)
    assert find(root) == ("hwmon", "the best sensor that was found")


def test_sensor_that_is_there_and_cannot_be_read_is_told_and_the_next_is_taken(root: Path) -> None:
    Counted(root)
    Rapl(root).key.chmod(0)
    Ina219(root).say("garbage")
    with no_rights():
        name, why = find(root)
    assert name == "estimate"
    hwmon, rapl = why.split("; ")
    assert hwmon.startswith("hwmon: ")
    assert hwmon.endswith("power1_input says 'garbage', which is no number")
    assert rapl.endswith("intel-rapl:0/energy_uj may not be read by this user")


def test_folder_that_nobody_may_enter_is_told_and_ends_nothing(root: Path) -> None:
    Counted(root)
    chip = OrinNano(root)
    chip.folder.chmod(0)
    with no_rights():
        name, why = find(root)
    chip.folder.chmod(0o755)
    assert name == "estimate"
    assert "name may not be read by this user" in why


def test_meter_of_the_config_goes_before_better_ones(root: Path) -> None:
    Counted(root)
    Ina219(root)
    Rapl(root)
    assert find(root, PowerConfig(meter="rapl")) == ("rapl", "power.meter is rapl")
    assert find(root, PowerConfig(meter="estimate")) == ("estimate", "power.meter is estimate")


def test_meter_of_the_config_that_is_not_there_is_estimated_and_that_is_said(root: Path) -> None:
    Counted(root)
    Ina219(root)
    assert find(root, PowerConfig(meter="rapl")) == ("estimate", "rapl: this board has none")


def test_published_fit_is_only_for_those_who_ask_for_it(root: Path) -> None:
    Counted(root)
    Pmic(root)
    assert find(root)[0] == "pmic"
    assert find(root, PowerConfig(meter="pmic-corrected"))[0] == "pmic-corrected"


def test_nothing_is_opened_when_there_is_to_be_none(root: Path) -> None:
    Ina219(root)
    found = find_meter(PowerConfig(meter="none"), root)
    assert (found.meter, found.why) == (None, "power.meter is none")


def test_i2c_is_not_touched_unless_the_config_says_what_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Counted(root)
    bus = I2cBus(root, monkeypatch)
    assert find(root)[0] == "estimate"
    assert bus.addressed == []
    assert find(root, PowerConfig(i2c="ina219:1:0x40:0.1"))[0] == "i2c"
    assert bus.addressed == [0x40]
    bus.close()


def test_only_what_is_better_than_the_meter_in_use_is_looked_for(root: Path) -> None:
    Counted(root)
    Rapl(root)
    Battery(root)
    assert find(root, above="estimate")[0] == "rapl"
    assert find(root, above="battery")[0] == "rapl"
    assert find(root, above="rapl")[0] == "none"
    assert find(root, above="hwmon")[0] == "none"


def test_program_of_a_raspberry_pi_is_started_on_no_other_board(root: Path) -> None:
    Counted(root)  # a Raspberry Pi 4
    put(root / "vcgencmd", f"#!/bin/sh\ntouch {root}/started")
    (root / "vcgencmd").chmod(0o755)
    assert find(root)[0] == "estimate"
    assert not (root / "started").exists()


def test_this_machine_has_some_meter_or_says_why_not() -> None:
    found = find_meter()
    assert found.why
    assert found.meter is None or found.meter.kind != "none"
