"""What every power meter must do, whatever its sensor; the boards are trees of our own, see tests/sensors.py."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from edge.config import PowerConfig
from edge.errors import MeterError, ReminisceError
from edge.power import KINDS, Meter, Watts, find_meter
from edge.power.integral import Integral
from sensors import SENSORS, Battery, I2cBus, Rapl, new_sensor, watts_of
from trees import Sensor, new_tree, no_rights

TRACE = Path(__file__).parents[1] / "power" / "trace.csv"  # watts of this project's build machine while it embeds
NAMES = list(SENSORS)
WITH_TEXT = [name for name in NAMES if not issubclass(SENSORS[name], I2cBus)]


@pytest.fixture
def root() -> Iterator[Path]:
    with new_tree() as root:
        yield root


@pytest.fixture(params=NAMES)
def sensor(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sensor]:
    with new_sensor(request.param, root, monkeypatch) as sensor:
        yield sensor


@dataclass(frozen=True, slots=True)
class Step:
    seconds: float
    watts: float


def trace() -> list[Step]:
    with TRACE.open(encoding="utf-8") as file:
        times, watts = zip(*((float(row["seconds"]), float(row["watts"])) for row in csv.DictReader(file)), strict=True)
    return [Step(end - begin, power) for begin, end, power in zip((0.0, *times), times, watts, strict=False)]


def joules(meter: Meter, sensor: Sensor, steps: list[Step], every: int = 1) -> float:
    """What the meter makes of the steps, read after each `every` of them."""
    integral, now, total = Integral(), 100.0, 0.0
    integral.add(meter.read(), now)
    for number, step in enumerate(steps, 1):
        sensor.play(step.watts, step.seconds)
        now += step.seconds
        if number % every == 0 and (interval := integral.add(meter.read(), now)):
            total += interval.joules
    return total


def test_a_constant_load_is_measured_to_one_percent(sensor: Sensor) -> None:
    sensor.play(4.2, 0.1)
    assert joules(sensor.open(), sensor, [Step(0.1, 4.2)] * 50) == pytest.approx(4.2 * 5, rel=0.01)


def test_a_recorded_trace_is_measured_to_one_percent(sensor: Sensor) -> None:
    truth = sum(step.watts * step.seconds for step in trace())
    assert joules(sensor.open(), sensor, trace()) == pytest.approx(truth, rel=0.01)


def test_any_two_meters_that_replay_one_recorded_trace_differ_by_less_than_two_percent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where one of them is read half as often as the other."""
    totals: dict[str, float] = {}
    for name in NAMES:
        for every in (1, 2):
            with new_tree() as root, monkeypatch.context() as patch, new_sensor(name, root, patch) as sensor:
                totals[f"{name}/{every}"] = joules(sensor.open(), sensor, trace(), every)
    worst = max(abs(one - other) / one for one, other in combinations(totals.values(), 2))
    assert worst < 0.02, totals


def test_its_figures_carry_the_kind_of_the_sensor_and_its_name(sensor: Sensor) -> None:
    meter = sensor.open()
    assert meter.kind == sensor.kind
    assert meter.kind in KINDS
    assert meter.kind != "none"
    assert re.search(r"ina\d+|rails|PMIC|RAPL|battery|Raspberry", meter.source)
    assert 0 <= meter.interval_s <= 1


def test_it_can_be_found_by_its_name_in_the_config(sensor: Sensor) -> None:
    config = PowerConfig(meter=sensor.name, i2c=i2c_of(sensor))  # type: ignore[arg-type]
    found = find_meter(config, sensor.root, str(sensor.root / "vcgencmd"))
    assert (found.name, found.meter and found.meter.kind) == (sensor.name, sensor.kind)
    assert found.why == f"power.meter is {sensor.name}"


def i2c_of(sensor: Sensor) -> str | None:
    if not isinstance(sensor, I2cBus):
        return None
    chip = sensor.chip
    return f"{chip.name}:{chip.bus}:{chip.address:#04x}:{chip.shunt_ohm}"


def test_a_sensor_that_vanishes_is_an_error_and_is_read_again_when_it_is_back(sensor: Sensor) -> None:
    sensor.play(3.0, 0.1)
    meter = sensor.open()
    before = meter.read()
    sensor.vanish()
    for _ in range(3):
        with pytest.raises(MeterError, match=f"{re.escape(str(sensor.root))}.*: No such file or directory"):
            meter.read()
    sensor.come_back()
    assert type(meter.read()) is type(before)


def test_a_sensor_that_fails_is_an_error_that_says_how(sensor: Sensor) -> None:
    meter = sensor.open()
    meter.read()
    sensor.fail()
    with pytest.raises(MeterError, match=r"Input/output error|Can not open device file: /dev/vcio"):
        meter.read()


def test_a_sensor_without_permission_is_an_error_that_says_so(sensor: Sensor) -> None:
    meter = sensor.open()
    meter.read()
    sensor.forbid()
    with no_rights(), pytest.raises(MeterError, match=r"may not be read by this user|Permission denied"):
        meter.read()


@pytest.mark.parametrize("sensor", WITH_TEXT, indirect=True)
@pytest.mark.parametrize("garbage", ["", "volts", "-", "12 34", "0x1F", "ÿþ"])
def test_what_is_no_number_is_an_error(sensor: Sensor, garbage: str) -> None:
    meter = sensor.open()
    meter.read()
    sensor.say(garbage)
    with pytest.raises(MeterError, match=r"which is no number|no processor time|no supply"):
        meter.read()


@pytest.mark.parametrize("sensor", [name for name in NAMES if name != "estimate"], indirect=True)
def test_less_than_nothing_is_an_error(sensor: Sensor) -> None:
    sensor.play(3.0, 0.1)
    meter = sensor.open()
    meter.read()
    sensor.say("-1000000")
    with pytest.raises(MeterError, match=r"which cannot be|must be 0 to"):
        meter.read()


@pytest.mark.parametrize("sensor", [name for name in WITH_TEXT if name not in {"estimate", "RAPL"}], indirect=True)
def test_more_than_any_board_takes_is_an_error(sensor: Sensor) -> None:
    meter = sensor.open()
    sensor.play(5_000.0, 0.1)
    with pytest.raises(MeterError, match=r"says \d+\.\d+ W, which cannot be"):
        meter.read()


@pytest.mark.parametrize("sensor", ["estimate", "RAPL"], indirect=True)
def test_a_counter_that_jumps_is_not_counted(sensor: Sensor) -> None:
    meter, integral = sensor.open(), Integral()
    integral.add(meter.read(), 1.0)
    sensor.play(5_000.0, 0.1)
    assert integral.add(meter.read(), 1.1) is None
    sensor.play(5.0, 0.1)
    after = integral.add(meter.read(), 1.2)
    assert after is not None
    assert after.watts == pytest.approx(5.0, rel=0.05)


def test_a_meter_error_is_one_of_ours_and_one_of_pythons() -> None:
    assert issubclass(MeterError, ReminisceError)
    assert issubclass(MeterError, OSError)


def test_a_board_without_sensors_has_none_of_them(root: Path) -> None:
    for name in ("hwmon", "i2c", "jetson", "pmic", "pmic-corrected", "rapl", "battery"):
        i2c = "ina219:1:0x40:0.1" if name == "i2c" else None
        found = find_meter(PowerConfig(meter=name, i2c=i2c), root, str(root / "vcgencmd"))
        assert found.meter is None
        assert found.why.startswith(f"{name}: ")
        assert "estimate: " in found.why


@pytest.mark.parametrize("wraps", [1, 3])
def test_a_counter_that_begins_again_loses_nothing(root: Path, wraps: int) -> None:
    rapl = Rapl(root)
    meter = rapl.open()
    first = meter.read()
    assert not isinstance(first, Watts)
    before = {folder: uj // 262_143_328_850 for folder, uj in rapl.counters.items()}
    for _ in range(wraps * 400):
        rapl.play(800.0, 1.0)
        now = meter.read()
    after = {folder: uj // 262_143_328_850 for folder, uj in rapl.counters.items()}
    assert any(after[folder] > before[folder] for folder in before)
    assert not isinstance(now, Watts)
    assert now.total - first.total == pytest.approx(wraps * 400 * 800.0, rel=1e-6)


def test_a_battery_on_the_mains_does_not_measure(root: Path) -> None:
    battery = Battery(root)
    battery.play(6.0, 1.0)
    meter = battery.open()
    assert watts_of(meter) == pytest.approx(6.0, rel=1e-3)
    (battery.folder / "status").write_text("Charging\n")
    with pytest.raises(MeterError, match=r"battery BAT0 is Charging: it measures only what it gives"):
        meter.read()
