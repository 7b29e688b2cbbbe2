"""The thread that reads: real threads, real files that come and go."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.config import PowerConfig
from edge.power import IDLE, REMEMBER, Kind, Ledger, Sampler
from edge.power import sampler as module
from sensors import Battery, Counted, Ina219, Pmic
from trees import no_rights, put
from waiting import wait_until

FLIP_S = 2.0
FAST = PowerConfig(interval_ms=20)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def start(root: Path, ledger: Ledger) -> Iterator[Callable[..., Sampler]]:
    """A sampler on the test's board, running until the end of the test."""
    failures: list[BaseException] = []
    with ExitStack() as stack:

        def begin(config: PowerConfig = FAST) -> Sampler:
            return stack.enter_context(Sampler(config, ledger, failures.append, root, str(root / "vcgencmd")))

        yield begin
    assert failures == []


def await_kind(sampler: Sampler, kind: Kind) -> float:
    """Seconds until the figures are of this kind."""
    began = time.monotonic()
    wait_until(lambda: sampler.now().kind == kind, lambda: f"{kind}: {sampler.now()}")
    return time.monotonic() - began


def await_watts(sampler: Sampler) -> float:
    wait_until(lambda: sampler.now().watts is not None, "watts")
    return sampler.now().watts or 0.0


def test_watts_come_with_their_kind_and_sensor(root: Path, start: Callable[..., Sampler]) -> None:
    Ina219(root).play(4.3, 1.0)
    sampler = start()
    assert sampler.now().kind == "measured_board"
    assert await_watts(sampler) == pytest.approx(4.3)
    assert sampler.now().source == "ina219 at hwmon2, shunt 0.1 Ω"
    assert sampler.now().why == "the best sensor that was found"


def unplug(chip: Ina219) -> None:
    shutil.rmtree(chip.folder)


@pytest.mark.parametrize(
    "fault", [unplug, Ina219.vanish, Ina219.fail, lambda chip: chip.say("?"), lambda chip: chip.say("-5000000")]
)
def test_kind_changes_within_two_seconds_of_a_fault(
    root: Path, start: Callable[..., Sampler], fault: Callable[[Ina219], None]
) -> None:
    Counted(root)
    chip = Ina219(root)
    chip.play(4.3, 1.0)
    sampler = start(PowerConfig())
    await_watts(sampler)
    fault(chip)
    assert await_kind(sampler, "estimated") < FLIP_S
    assert sampler.now().source.startswith("Raspberry Pi 4")


def test_kind_changes_within_two_seconds_when_the_permission_is_taken(
    root: Path, start: Callable[..., Sampler]
) -> None:
    Counted(root)
    chip = Ina219(root)
    sampler = start(PowerConfig())
    chip.key.chmod(0)
    assert sampler.now().kind == "measured_board"
    with no_rights():
        assert await_kind(sampler, "estimated") < FLIP_S
    assert "power1_input may not be read by this user" in sampler.now().why


def test_kind_changes_within_two_seconds_when_the_firmware_hangs(root: Path, start: Callable[..., Sampler]) -> None:
    Counted(root)
    board = Pmic(root)
    sampler = start(PowerConfig())
    assert sampler.now().kind == "measured_rails"
    await_watts(sampler)
    board._become("exec sleep 60")
    assert await_kind(sampler, "estimated") < FLIP_S


def test_kind_changes_within_two_seconds_of_the_mains_being_plugged_in(
    root: Path, start: Callable[..., Sampler]
) -> None:
    Counted(root)
    battery = Battery(root)
    sampler = start(PowerConfig())
    assert sampler.now().kind == "measured_board"
    put(battery.folder / "status", "Charging")
    assert await_kind(sampler, "estimated") < FLIP_S


def test_sensor_that_is_back_is_used_again(
    root: Path, start: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.2)
    Counted(root)
    chip = Ina219(root)
    sampler = start()
    for _ in range(2):
        chip.vanish()
        await_kind(sampler, "estimated")
        chip.play(6.0, 1.0)
        await_kind(sampler, "measured_board")
        assert await_watts(sampler) == pytest.approx(6.0)


@pytest.mark.slow
def test_sensor_that_is_back_is_found_without_help(root: Path, start: Callable[..., Sampler]) -> None:
    Counted(root)
    chip = Ina219(root)
    sampler = start(PowerConfig())
    chip.vanish()
    await_kind(sampler, "estimated")
    chip.come_back()
    assert await_kind(sampler, "measured_board") < module.LOOK_S + 1


def test_driver_that_comes_after_us_is_used(
    root: Path, start: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.2)
    Counted(root)
    sampler = start()
    assert sampler.now().kind == "estimated"
    Ina219(root)
    await_kind(sampler, "measured_board")


def test_driver_that_was_loaded_anew_has_another_number_and_stays_the_meter(
    root: Path, start: Callable[..., Sampler]
) -> None:
    Counted(root)
    chip = Ina219(root)
    sampler = start()
    chip.folder.rename(chip.folder.with_name("hwmon9"))
    wait_until(lambda: sampler.now().source.startswith("ina219 at hwmon9"), "the new place")
    assert sampler.now().kind == "measured_board"


def test_one_lost_reading_is_no_reason_to_change(
    root: Path, ledger: Ledger, start: Callable[..., Sampler], caplog: pytest.LogCaptureFixture
) -> None:
    Counted(root)
    chip = Ina219(root)
    chip.play(5.0, 1.0)
    sampler = start()
    began = time.monotonic()
    await_watts(sampler)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            chip.vanish()
            time.sleep(0.15)
            chip.come_back()
            time.sleep(0.15)
    seconds = time.monotonic() - began
    wait_until(lambda: ledger.spent("measured_board")[IDLE].seconds > seconds - 0.2, "the time of the gaps")
    spent = ledger.spent("measured_board")[IDLE]
    assert spent.gross_j == pytest.approx(5.0 * spent.seconds, rel=0.01)
    assert ledger.spent("estimated")[IDLE].seconds == 0
    assert caplog.records == []


def test_kinds_share_no_figure(root: Path, ledger: Ledger, start: Callable[..., Sampler]) -> None:
    Counted(root)
    chip = Ina219(root)
    chip.play(100.0, 1.0)
    sampler = start()
    await_watts(sampler)
    chip.vanish()
    await_kind(sampler, "estimated")
    assert await_watts(sampler) < 10
    measured = ledger.spent("measured_board")[IDLE]
    time.sleep(0.3)
    assert ledger.spent("measured_board")[IDLE] == measured
    estimated = ledger.spent("estimated")[IDLE]
    assert 0 < estimated.gross_j / estimated.seconds < 10


def test_what_was_done_while_no_meter_could_be_read_is_in_no_account(
    root: Path, ledger: Ledger, start: Callable[..., Sampler]
) -> None:
    Counted(root)
    chip = Ina219(root)
    began = time.monotonic()
    sampler = start()
    await_watts(sampler)
    chip.vanish()
    time.sleep(0.1)
    with ledger.during(REMEMBER):
        ledger.count(REMEMBER, 100)
        await_kind(sampler, "estimated")
    wait_until(lambda: ledger.spent("estimated")[IDLE].seconds > 0.2, "time by the other meter")
    accounts = [ledger.spent(kind) for kind in ("measured_board", "estimated")]
    assert sum(account[REMEMBER].count for account in accounts) == 0
    counted_s = sum(spent.seconds for account in accounts for spent in account.values())
    assert counted_s < time.monotonic() - began - 0.5


def test_change_of_meters_is_said_once_in_the_log(
    root: Path, start: Callable[..., Sampler], caplog: pytest.LogCaptureFixture
) -> None:
    Counted(root)
    chip = Ina219(root)
    with caplog.at_level(logging.INFO):
        sampler = start()
        chip.vanish()
        await_kind(sampler, "estimated")
        time.sleep(0.3)
    begin, gone, change = [record.getMessage() for record in caplog.records]
    assert begin == "power is measured_board by ina219 at hwmon2, shunt 0.1 Ω (the best sensor that was found)"
    assert gone == f"the power meter is gone: {chip.key}: No such file or directory"
    assert change.startswith("power is estimated by Raspberry Pi 4, 2.7 W and 0.93 W for each busy core (hwmon: ")


def test_energy_is_power_times_time(root: Path, ledger: Ledger, start: Callable[..., Sampler]) -> None:
    chip = Ina219(root)
    chip.play(4.0, 1.0)
    start()
    began = time.monotonic()
    with ledger.during(REMEMBER):
        time.sleep(0.6)
    worked_s = time.monotonic() - began
    wait_until(lambda: ledger.spent("measured_board")[IDLE].seconds > 0.1, "idle time")
    spent = ledger.spent("measured_board")
    seconds = spent[REMEMBER].seconds + spent[IDLE].seconds
    assert seconds <= time.monotonic() - began + 0.1
    assert spent[REMEMBER].seconds == pytest.approx(worked_s, abs=0.15)
    assert spent[REMEMBER].gross_j == pytest.approx(4.0 * spent[REMEMBER].seconds, rel=1e-3)


def test_idle_watts_of_the_config_are_taken_as_they_are(
    root: Path, ledger: Ledger, start: Callable[..., Sampler]
) -> None:
    Ina219(root).play(4.0, 1.0)
    sampler = start(PowerConfig(interval_ms=20, idle_w=3.0))
    with ledger.during(REMEMBER):
        wait_until(lambda: ledger.spent("measured_board")[REMEMBER].seconds > 0.3, "time at work")
    spent = ledger.spent("measured_board")[REMEMBER]
    assert spent.net_j == pytest.approx(1.0 * spent.seconds, rel=0.05)
    assert (sampler.now().idle_w, sampler.now().idle_age_s) == (3.0, None)


def test_idle_watts_are_measured_while_nothing_is_done(
    root: Path, ledger: Ledger, start: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WINDOW_S", 0.3), ("_LOOK_S", 0.05)):
        monkeypatch.setattr(f"edge.power.baseline.{name}", value)
    put(root / "proc/loadavg", "0.00 0.00 0.00 1/100 4242")
    chip = Ina219(root)
    chip.play(2.5, 1.0)
    sampler = start()
    wait_until(lambda: sampler.now().idle_w, "a baseline")
    assert sampler.now().idle_w == pytest.approx(2.5)
    with ledger.during(REMEMBER):
        chip.play(6.5, 1.0)
        wait_until(lambda: ledger.spent("measured_board")[REMEMBER].seconds > 0.5, "time at work")
        assert sampler.now().idle_w == pytest.approx(2.5)
        age_s = sampler.now().idle_age_s
    assert age_s is not None
    assert 0.3 < age_s < 10
    spent = ledger.spent("measured_board")[REMEMBER]
    assert spent.net_j == pytest.approx(4.0 * spent.seconds, rel=0.1)


def test_without_a_meter_there_are_no_figures_and_no_readings(root: Path, start: Callable[..., Sampler]) -> None:
    Ina219(root)
    sampler = start(PowerConfig(meter="none"))
    time.sleep(0.1)
    power = sampler.now()
    assert (power.kind, power.watts, power.why) == ("none", None, "power.meter is none")


def test_board_that_says_nothing_at_all_has_no_figures(
    root: Path, start: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.1)
    sampler = start()
    assert sampler.now().kind == "none"
    assert f"{root}/proc/stat: No such file or directory" in sampler.now().why
    Counted(root)
    await_kind(sampler, "estimated")


@pytest.mark.parametrize("meter", ["auto", "none"])
def test_leaving_ends_the_thread_at_once(root: Path, meter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Counted(root)
    if meter == "auto":
        monkeypatch.setattr(Sampler, "_pause_s", lambda _: 60.0)
    with Sampler(PowerConfig(meter=meter, interval_ms=1_000), Ledger(), root=root):  # type: ignore[arg-type]
        assert "power" in {thread.name for thread in threading.enumerate()}
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert "power" not in {thread.name for thread in threading.enumerate()}


def test_mistake_of_ours_is_told_and_not_swallowed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Counted(root)
    failures: list[BaseException] = []
    with Sampler(FAST, Ledger(), failures.append, root) as sampler:
        monkeypatch.setattr(sampler._integral, "add", lambda *_: 1 / 0)
        wait_until(lambda: failures, "the failure")
    assert isinstance(failures[0], ZeroDivisionError)


def test_slow_sensor_is_not_read_faster_than_it_has_news(root: Path, start: Callable[..., Sampler]) -> None:
    board = Pmic(root)
    board._become(f"echo x >> {root}/asked; exec cat {board._said}")
    board.play(3.0, 1.0)
    began = time.monotonic()
    start(PowerConfig(interval_ms=10))
    wait_until(lambda: len((root / "asked").read_text().splitlines()) >= 6, "six readings")
    assert time.monotonic() - began > 1.0  # every 10 ms it would be a tenth of that
