"""The idle board: when its watts are believed, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.power.baseline import LONGEST_AGE_S, SETTLED_S, WINDOW_S, Baseline, Conditions, read_conditions
from edge.power.integral import Interval
from trees import put

ZONE = "sys/class/thermal/thermal_zone0/temp"
GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


class Board:
    """An idle board at `now`, and what is known of its idle watts."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.baseline = root, 1_000.0, Baseline(root)
        put(root / "proc/loadavg", "0.03 0.10 0.20 1/100 4242")
        put(root / ZONE, 48_000)
        put(root / GOVERNOR, "ondemand")

    def idle(self, seconds: float, watts: float = 2.7, each_s: float = 0.5) -> None:
        for _ in range(round(seconds / each_s)):
            self.now += each_s
            self.baseline.add(Interval(each_s, watts * each_s), self.now)

    @property
    def watts(self) -> float | None:
        return self.baseline.watts(self.now)


@pytest.fixture
def board(root: Path) -> Board:
    return Board(root)


def test_it_takes_thirty_seconds_of_nothing_to_do(board: Board) -> None:
    board.idle(WINDOW_S - 2)
    assert board.watts is None
    board.idle(3)
    assert board.watts == pytest.approx(2.7)


def test_it_is_the_median_and_a_short_peak_does_not_move_it(board: Board) -> None:
    board.idle(20)
    board.idle(1.5, watts=9.0)
    board.idle(20)
    assert board.watts == pytest.approx(2.7)


def test_seconds_before_and_after_some_work_do_not_add_up(board: Board) -> None:
    board.idle(WINDOW_S - 5)
    board.baseline.interrupt()
    board.idle(WINDOW_S - 5)
    assert board.watts is None


def test_work_leaves_what_is_known(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    board.baseline.interrupt()
    board.now += 600
    assert board.watts == pytest.approx(2.7)
    assert board.baseline.age_s(board.now) == pytest.approx(600, abs=2)


def test_board_that_is_busy_with_something_else_is_not_idle(board: Board) -> None:
    put(board.root / "proc/loadavg", "0.35 0.10 0.20 1/100 4242")
    board.idle(3 * WINDOW_S)
    assert board.watts is None


def test_board_that_does_not_say_its_load_is_not_idle(board: Board) -> None:
    for text in ("", "much"):
        put(board.root / "proc/loadavg", text)
        board.idle(2 * WINDOW_S)
        assert board.watts is None


def test_it_follows_a_board_that_stays_idle(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    board.idle(2 * WINDOW_S, watts=3.1)
    assert board.watts == pytest.approx(3.1)
    age_s = board.baseline.age_s(board.now)
    assert age_s is not None
    assert age_s < 2


def test_it_is_not_believed_after_an_hour(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    board.now += LONGEST_AGE_S - 5
    assert board.watts == pytest.approx(2.7)
    board.now += 10
    assert board.watts is None
    assert board.baseline.age_s(board.now) is None


def test_board_that_is_warmer_when_it_is_idle_again_takes_another_amount(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    board.baseline.interrupt()
    put(board.root / ZONE, 53_500)
    board.idle(SETTLED_S + 2)
    assert board.watts is None
    board.idle(WINDOW_S + 2, watts=2.9)
    assert board.watts == pytest.approx(2.9)


def test_board_that_is_warm_from_work_keeps_what_is_known_through_short_rests(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    put(board.root / ZONE, 75_000)
    for _ in range(20):
        board.baseline.interrupt()
        board.now += 10
        board.idle(SETTLED_S - 2)
    assert board.watts == pytest.approx(2.7)


def test_a_degree_is_not_enough(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    put(board.root / ZONE, 49_000)
    board.idle(SETTLED_S + 2)
    assert board.watts == pytest.approx(2.7)


def test_with_another_governor_it_is_another_board_at_once(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    put(board.root / GOVERNOR, "performance")
    board.idle(2)
    assert board.watts is None
    board.idle(WINDOW_S - 4, watts=3.4)
    assert board.watts is None
    board.idle(6, watts=3.4)
    assert board.watts == pytest.approx(3.4)


def test_thermometer_that_fails_says_nothing_of_the_board(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    put(board.root / ZONE, "none")
    board.idle(SETTLED_S + 2)
    assert board.watts == pytest.approx(2.7)


def test_other_meter_knows_nothing_of_the_one_before(board: Board) -> None:
    board.idle(WINDOW_S + 2)
    board.baseline.forget()
    assert board.watts is None
    board.idle(WINDOW_S - 2)
    assert board.watts is None


def test_board_without_thermometer_and_governor_has_a_baseline_all_the_same(root: Path) -> None:
    board = Board(root)
    (root / ZONE).unlink()
    (root / GOVERNOR).unlink()
    assert read_conditions(root) == Conditions(0.03, None, "")
    board.idle(WINDOW_S + 2)
    assert board.watts == pytest.approx(2.7)


def test_hottest_zone_counts(root: Path) -> None:
    Board(root)
    put(root / "sys/class/thermal/thermal_zone1/temp", 61_250)
    put(root / "sys/class/thermal/thermal_zone2/temp", "broken")
    assert read_conditions(root) == Conditions(0.03, 61.25, "ondemand")


def test_conditions_are_looked_at_once_a_second_and_not_at_each_reading(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []

    def look(root: Path) -> Conditions:
        looks.append(root)
        return Conditions(0.0, None, "")

    monkeypatch.setattr("edge.power.baseline.read_conditions", look)
    board.idle(20, each_s=0.05)
    assert 15 <= len(looks) <= 21
