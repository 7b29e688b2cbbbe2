"""Energy counters of processors: packages once each, and counters that begin again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import MeterError
from edge.power import Joules
from edge.power.rapl import open_rapl
from sensors import RANGE_UJ, Rapl, must
from trees import no_rights, put


def counted_j(board: Rapl, watts: float, seconds: float) -> float:
    meter = must(open_rapl(board.root))
    first = meter.read()
    board.play(watts, seconds)
    now = meter.read()
    assert isinstance(first, Joules)
    assert isinstance(now, Joules)
    return now.total - first.total


def test_each_package_is_counted_once_and_neither_its_parts_nor_the_platform(root: Path) -> None:
    board = Rapl(root)
    for zone in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        put(board.powercap / zone / "energy_uj", 200_000_000_000)
    assert counted_j(board, 20.0, 1.0) == pytest.approx(20.0)
    assert must(open_rapl(root)).source == "RAPL package-0 + package-1"


def test_counter_that_wraps_goes_on(root: Path) -> None:
    board = Rapl(root)
    board.counters["intel-rapl:0"] = RANGE_UJ - 5.0
    board.play(0.0, 0.0)
    assert counted_j(board, 10.0, 1.0) == pytest.approx(10.0)
    assert int(board.key.read_text()) < 6_000_000  # it did wrap


def test_counter_of_the_next_process_has_nothing_to_do_with_ours(root: Path) -> None:
    board = Rapl(root)
    board.play(100.0, 60.0)
    first = must(open_rapl(root)).read()
    assert first == Joules(0.0)


def test_roots_counters_are_an_error_for_all_others(root: Path) -> None:
    board = Rapl(root)
    board.key.chmod(0o400)
    with no_rights(), pytest.raises(MeterError, match=r"intel-rapl:0/energy_uj may not be read by this user"):
        open_rapl(root)


@pytest.mark.parametrize("counter", [-1, RANGE_UJ + 1])
def test_counter_beyond_its_range_is_an_error(root: Path, counter: int) -> None:
    board = Rapl(root)
    meter = board.open()
    put(board.key, counter)
    with pytest.raises(MeterError, match=rf"counts {counter} µJ: must be 0 to {RANGE_UJ}"):
        meter.read()


def test_reading_that_failed_for_one_package_is_not_lost_for_the_other(root: Path) -> None:
    board = Rapl(root)
    meter = must(open_rapl(root))
    board.play(10.0, 1.0)
    good = board.key.read_text()
    put(board.key, "garbage")
    with pytest.raises(MeterError):
        meter.read()
    put(board.key, good.strip())
    reading = meter.read()
    assert isinstance(reading, Joules)
    assert reading.total == pytest.approx(10.0)


def test_range_of_nothing_is_an_error_and_no_division_by_it(root: Path) -> None:
    board = Rapl(root)
    put(board.powercap / "intel-rapl:1/max_energy_range_uj", 0)
    with pytest.raises(MeterError, match=r"intel-rapl:1 has a range of 0 µJ, which cannot be"):
        open_rapl(root)


def test_board_with_the_platform_alone_has_no_packages(root: Path) -> None:
    put(root / "sys/class/powercap/intel-rapl:0/name", "psys")
    put(root / "sys/class/powercap/intel-rapl/enabled", 1)
    assert open_rapl(root) is None
