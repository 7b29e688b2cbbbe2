"""The power chip of a Raspberry Pi 5, through a real program that says what vcgencmd says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.errors import MeterError
from edge.power.pmic import open_pmic, rail_watts
from sensors import CorrectedPmic, Pmic, must, watts_of
from trees import put

SAID = """\
   3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.20000000A
   VDD_CORE_A current(7)=1.00000000A
   3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
   VDD_CORE_V volt(15)=0.72031240V
   EXT5V_V volt(24)=5.15097000V
   BATT_V volt(25)=0.01464735V
"""


def test_supplies_with_volts_and_amperes_are_added_up() -> None:
    assert rail_watts(SAID) == pytest.approx(0.1 * 3.7 + 0.2 * 3.3 + 0.7203124)


def test_input_and_battery_have_no_current_and_are_left_out() -> None:
    alone = "EXT5V_V volt(24)=5.15V\nBATT_V volt(25)=0.01V\n"
    assert rail_watts(SAID + alone) == rail_watts(SAID)
    with pytest.raises(MeterError, match="the PMIC names no supply with both its volts and its amperes"):
        rail_watts(alone)


def test_form_of_older_firmware_is_read_too() -> None:
    assert rail_watts("VDD_CORE_A=1.5A\nVDD_CORE_V=0.8V\n") == pytest.approx(1.2)
    assert rail_watts("VDD_CORE_A=1.5\nVDD_CORE_V=0.8\n") == pytest.approx(1.2)


def test_number_that_is_none_is_an_error() -> None:
    with pytest.raises(MeterError, match=r"the PMIC says '1\.2\.3', which is no number"):
        rail_watts("VDD_CORE_A=1.2.3A\nVDD_CORE_V=0.8V\n")


def test_published_fit_is_labelled_and_never_called_measured(root: Path) -> None:
    board = CorrectedPmic(root)
    put(board._said, SAID)
    meter = must(open_pmic(root, str(board.key), is_corrected=True))
    assert watts_of(meter) == pytest.approx(rail_watts(SAID) * 1.1451 + 0.588)
    assert (meter.kind, meter.source) == ("corrected", "Raspberry Pi PMIC times 1.1451 and 0.588 W on top")


@pytest.mark.parametrize(
    ("model", "is_one"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", True),
        ("Raspberry Pi 500 Rev 1.0", True),
        ("Raspberry Pi Compute Module 5 Rev 1.0", True),
        ("Raspberry Pi 4 Model B Rev 1.5", False),
        ("NVIDIA Jetson Orin Nano Developer Kit", False),
    ],
)
def test_boards_that_measure_no_current_are_not_asked(root: Path, model: str, *, is_one: bool) -> None:
    put(root / "proc/device-tree/model", f"{model}\0")
    assert (open_pmic(root, "vcgencmd", is_corrected=False) is not None) == is_one


def test_program_that_hangs_is_given_up(root: Path) -> None:
    board = Pmic(root)
    board._become("exec sleep 60")
    began = time.monotonic()
    with pytest.raises(MeterError, match=r"vcgencmd gave no answer within 0\.5 s"):
        board.open().read()
    assert time.monotonic() - began < 5


def test_program_that_may_not_ask_the_firmware_is_told_which_group_it_needs(root: Path) -> None:
    board = Pmic(root)
    board.fail()
    with pytest.raises(
        MeterError, match="Can not open device file: /dev/vcio: it needs /dev/vcio, which the group video"
    ):
        board.open().read()


def test_program_that_is_not_installed_is_named(root: Path) -> None:
    put(root / "proc/device-tree/model", "Raspberry Pi 5")
    meter = must(open_pmic(root, "/opt/vc/bin/vcgencmd", is_corrected=False))
    with pytest.raises(MeterError, match="/opt/vc/bin/vcgencmd: No such file or directory"):
        meter.read()
