"""Where there is no sensor: processor time times a profile, and never called measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge.errors import MeterError
from edge.power import Joules
from edge.power.discovery import ROOT
from edge.power.estimate import PROFILES, UNKNOWN, Estimate, open_estimate, profile_of
from trees import put

TICKS_S = os.sysconf("SC_CLK_TCK")
BURN = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\nprint(time.process_time())"


def total_j(meter: Estimate) -> float:
    reading = meter.read()
    assert isinstance(reading, Joules)
    return reading.total


def stat(root: Path, **ticks: int) -> None:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    put(root / "proc/stat", f"cpu  {' '.join(str(ticks.get(name, 0)) for name in names)}\ncpu0 1 1 1 1 1 1 1 0 0 0")


@pytest.mark.parametrize("state", ["user", "nice", "system", "irq", "softirq"])
def test_a_busy_core_adds_its_share_of_the_full_board(root: Path, state: str) -> None:
    stat(root)
    meter = Estimate(PROFILES[0], root, clock=lambda: 0.0)
    stat(root, **{state: 10 * TICKS_S})
    profile = PROFILES[0]
    assert total_j(meter) == pytest.approx(10 * (profile.busy_w - profile.idle_w) / profile.cores)


@pytest.mark.parametrize("state", ["idle", "iowait", "steal", "guest"])
def test_waiting_adds_nothing_and_guests_are_not_counted_twice(root: Path, state: str) -> None:
    stat(root)
    meter = Estimate(PROFILES[0], root, clock=lambda: 0.0)
    stat(root, **{state: 10 * TICKS_S})
    assert total_j(meter) == 0.0


def test_idle_board_takes_its_idle_watts(root: Path) -> None:
    stat(root)
    times = iter((100.0, 110.0))
    meter = Estimate(UNKNOWN, root, clock=lambda: next(times))
    assert total_j(meter) == pytest.approx(10 * UNKNOWN.idle_w)


def test_processor_time_that_goes_back_counts_as_nothing(root: Path) -> None:
    stat(root, user=500)
    meter = Estimate(UNKNOWN, root, clock=lambda: 0.0)
    stat(root, user=499)
    assert total_j(meter) == 0.0
    stat(root, user=499 + TICKS_S)
    assert total_j(meter) == pytest.approx(UNKNOWN.core_w)


@pytest.mark.parametrize("text", ["", "cpu", "cpu a b c", "intr 1 2 3 4 5 6 7 8"])
def test_what_is_no_processor_time_is_an_error(root: Path, text: str) -> None:
    put(root / "proc/stat", text)
    with pytest.raises(MeterError, match="which is no processor time"):
        open_estimate(root, None)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.5", "Raspberry Pi 4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "Raspberry Pi 5"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", "Raspberry Pi Compute Module 4"),
        ("NVIDIA Jetson Orin Nano Developer Kit", UNKNOWN.name),
    ],
)
def test_board_has_the_profile_of_its_model(root: Path, model: str, name: str) -> None:
    put(root / "proc/device-tree/model", f"{model}\0")
    assert profile_of(root, None).name == name


def test_board_that_does_not_say_its_model_is_said_to_be_unknown(root: Path) -> None:
    stat(root)
    assert open_estimate(root, None).source == "unknown board, 5 W and 2 W for each busy core"


def test_idle_watts_of_the_owner_take_the_place_of_the_tables_and_leave_the_cores_alone(root: Path) -> None:
    put(root / "proc/device-tree/model", "Raspberry Pi 4")
    ours, owners = profile_of(root, None), profile_of(root, 3.3)
    assert owners.idle_w == 3.3
    assert owners.core_w == pytest.approx(ours.core_w)


def test_estimate_of_this_machine_moves_with_its_load() -> None:
    """What a process takes of a core is in the estimate, and the estimate is what the kernel counted."""
    meter = open_estimate(ROOT, None)
    first, before, began = total_j(meter), psutil.cpu_times(), time.monotonic()
    done = subprocess.run([sys.executable, "-c", BURN], capture_output=True, text=True, check=True)
    burnt_s, seconds = float(done.stdout), time.monotonic() - began
    joules, after = total_j(meter) - first, psutil.cpu_times()
    assert burnt_s > 0.1
    profile = profile_of(ROOT, None)
    busy_s = sum(getattr(after, name) - getattr(before, name) for name in ("user", "nice", "system", "irq", "softirq"))
    moved_j = joules - profile.idle_w * seconds
    tick_j = profile.core_w * (psutil.cpu_count() or 1) / TICKS_S
    assert moved_j >= profile.core_w * burnt_s - 2 * tick_j - profile.idle_w * 0.05
    assert moved_j == pytest.approx(profile.core_w * busy_s, abs=6 * tick_j + profile.idle_w * 0.1)


@pytest.mark.slow
def test_estimate_of_this_machine_is_higher_while_it_is_busy_than_while_it_is_not() -> None:
    meter = open_estimate(ROOT, None)

    def watts(load: list[subprocess.Popen[bytes]]) -> float:
        first, began = total_j(meter), time.monotonic()
        time.sleep(1.5)
        for process in load:
            process.wait()
        return (total_j(meter) - first) / (time.monotonic() - began)

    cores = psutil.cpu_count() or 1
    quiet = watts([])
    busy = watts([subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.DEVNULL) for _ in range(cores)])
    full = profile_of(ROOT, None).idle_w + cores * profile_of(ROOT, None).core_w
    if quiet > 0.8 * full:
        pytest.skip(f"others keep this machine busy: {quiet:.1f} of {full:.1f} W without our load")
    assert busy > quiet + 0.1 * full
