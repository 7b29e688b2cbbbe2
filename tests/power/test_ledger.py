"""Who used the joules."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import pytest

from edge.power import AHEAD, IDLE, KINDS, RECALL, REMEMBER, Ledger, Spent
from edge.power.integral import Interval


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock=clock)


def measured(ledger: Ledger) -> Mapping[str, Spent]:
    return ledger.spent("measured_board")


def total_j(ledger: Ledger) -> float:
    return sum(spent.gross_j for spent in measured(ledger).values())


def test_an_interval_in_which_nothing_was_done_is_all_idle(ledger: Ledger, clock: Clock) -> None:
    clock.now += 2.0
    assert ledger.add("measured_board", Interval(2.0, 6.0), None)
    assert measured(ledger)[IDLE] == Spent(seconds=2.0, gross_j=6.0)
    assert measured(ledger)[REMEMBER] == measured(ledger)[RECALL] == Spent()


def test_without_a_baseline_energy_is_shared_by_time(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        clock.now += 0.3
    clock.now += 0.5
    with ledger.during(RECALL):
        clock.now += 0.2
    assert not ledger.add("measured_board", Interval(1.0, 5.0), None)
    shares = {name: spent.gross_j for name, spent in measured(ledger).items()}
    assert shares == pytest.approx({REMEMBER: 1.5, RECALL: 1.0, AHEAD: 0.0, IDLE: 2.5})
    assert measured(ledger)[REMEMBER].net_j == 0.0


def test_what_is_above_the_idle_board_is_due_to_the_work_though_it_filled_a_part_of_the_interval(
    ledger: Ledger, clock: Clock
) -> None:
    with ledger.during(REMEMBER):
        clock.now += 0.1
    clock.now += 0.9
    ledger.add("measured_board", Interval(1.0, 3.5), idle_w=3.0)
    spent = measured(ledger)
    assert spent[REMEMBER].net_j == pytest.approx(0.5)
    assert spent[REMEMBER].gross_j == pytest.approx(0.5 + 3.0 * 0.1)
    assert spent[IDLE].gross_j == pytest.approx(3.0 * 0.9)


def test_nothing_is_lost_and_nothing_counted_twice(ledger: Ledger, clock: Clock) -> None:
    joules = 0.0
    for step in range(50):
        with ledger.during((REMEMBER, RECALL)[step % 2]):
            clock.now += 0.03 * (step % 3)
        clock.now += 0.04
        seconds = 0.03 * (step % 3) + 0.04
        interval = Interval(seconds, seconds * (3.0 + step % 5))
        ledger.add("measured_board", interval, 3.0 if step > 25 else None)
        joules += interval.joules
    assert total_j(ledger) == pytest.approx(joules)
    assert sum(spent.seconds for spent in measured(ledger).values()) == pytest.approx(clock.now - 100.0)


def test_a_question_hides_the_remembering_that_waits_for_it(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        clock.now += 1.0
        with ledger.during(RECALL):
            clock.now += 2.0
        clock.now += 4.0
    ledger.add("measured_board", Interval(7.0, 7.0), None)
    assert measured(ledger)[REMEMBER].seconds == pytest.approx(5.0)
    assert measured(ledger)[RECALL].seconds == pytest.approx(2.0)


def test_two_threads_at_one_activity_are_one_activity(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        with ledger.during(REMEMBER):
            clock.now += 1.0
        clock.now += 1.0
    clock.now += 1.0
    ledger.add("measured_board", Interval(3.0, 3.0), None)
    assert measured(ledger)[REMEMBER].seconds == pytest.approx(2.0)


def test_work_that_goes_on_is_shared_out_in_every_interval_that_it_fills(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        for _ in range(3):
            clock.now += 1.0
            assert not ledger.add("measured_board", Interval(1.0, 4.0), 3.0)
    assert measured(ledger)[REMEMBER].gross_j == pytest.approx(12.0)
    assert measured(ledger)[REMEMBER].net_j == pytest.approx(3.0)


def test_work_that_fails_ends_too(ledger: Ledger, clock: Clock) -> None:
    def work() -> None:
        with ledger.during(REMEMBER):
            clock.now += 1.0
            raise ValueError("the work")

    with pytest.raises(ValueError, match="the work"):
        work()
    clock.now += 1.0
    ledger.add("measured_board", Interval(2.0, 2.0), None)
    assert measured(ledger)[IDLE].seconds == pytest.approx(1.0)


def test_joules_for_each_item(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        clock.now += 1.0
    ledger.count(REMEMBER, 3)
    ledger.count(REMEMBER)
    ledger.add("measured_board", Interval(1.0, 6.0), 2.0)
    spent = measured(ledger)[REMEMBER]
    assert (spent.count, spent.gross_j_each, spent.net_j_each) == (4, 1.5, 1.0)


def test_before_the_first_item_there_is_no_figure_rather_than_zero() -> None:
    assert Spent(seconds=3.0, gross_j=5.0).gross_j_each is None
    assert Spent(seconds=3.0, gross_j=5.0, count=2).net_j_each is None


def test_net_figure_is_over_the_items_for_which_the_baseline_was_known(ledger: Ledger, clock: Clock) -> None:
    for idle_w in (None, 2.0):
        with ledger.during(REMEMBER):
            clock.now += 1.0
        ledger.count(REMEMBER, 2)
        ledger.add("measured_board", Interval(1.0, 6.0), idle_w)
    spent = measured(ledger)[REMEMBER]
    assert (spent.count, spent.gross_j_each) == (4, 3.0)
    assert (spent.net_count, spent.net_j_each) == (2, 2.0)


def test_kinds_are_never_added_up(ledger: Ledger, clock: Clock) -> None:
    for number, kind in enumerate(KINDS, 1):
        with ledger.during(RECALL):
            clock.now += 1.0
        ledger.count(RECALL)
        ledger.add(kind, Interval(1.0, float(number)), None)
    assert [ledger.spent(kind)[RECALL].gross_j for kind in KINDS] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert {ledger.spent(kind)[RECALL].count for kind in KINDS} == {1}


def test_what_nobody_measured_is_left_out_with_its_items(ledger: Ledger, clock: Clock) -> None:
    with ledger.during(REMEMBER):
        clock.now += 10.0
    ledger.count(REMEMBER, 100)
    ledger.drop()
    with ledger.during(REMEMBER):
        clock.now += 1.0
    ledger.count(REMEMBER)
    ledger.add("measured_board", Interval(1.0, 2.0), None)
    spent = measured(ledger)[REMEMBER]
    assert (spent.seconds, spent.gross_j, spent.count) == pytest.approx((1.0, 2.0, 1))


def test_figures_that_were_handed_out_do_not_change(ledger: Ledger, clock: Clock) -> None:
    before = measured(ledger)
    clock.now += 1.0
    ledger.add("measured_board", Interval(1.0, 2.0), None)
    assert before[IDLE] == Spent()
    with pytest.raises(TypeError):
        before[IDLE] = Spent()  # type: ignore[index]


def test_benchmark_has_activities_of_its_own(clock: Clock) -> None:
    ledger = Ledger(("full depth", "reminisce"), clock)
    with ledger.during("full depth"):
        clock.now += 1.0
    ledger.add("estimated", Interval(1.0, 2.0), None)
    assert list(ledger.spent("estimated")) == ["full depth", "reminisce", IDLE]
    assert ledger.spent("estimated")["full depth"].gross_j == 2.0
    with pytest.raises(KeyError):
        ledger.during(REMEMBER).__enter__()


def test_threads_that_come_and_go_leave_it_idle_and_all_their_time_counted() -> None:
    ledger = Ledger()
    began = time.monotonic()
    ledger.drop()

    def work(activity: str) -> None:
        for _ in range(200):
            with ledger.during(activity):
                pass
            ledger.count(activity)

    threads = [threading.Thread(target=work, args=(name,)) for name in (REMEMBER, RECALL) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    ledger.add("estimated", Interval(seconds, seconds), None)
    spent = ledger.spent("estimated")
    assert (spent[REMEMBER].count, spent[RECALL].count) == (800, 800)
    assert sum(one.seconds for one in spent.values()) == pytest.approx(seconds, rel=0.05, abs=0.05)
    time.sleep(0.05)
    assert ledger.add("estimated", Interval(0.05, 1.0), None)  # nobody is inside any more


def test_entering_costs_less_than_a_hundredth_of_a_short_segment_call() -> None:
    ledger, count = Ledger(), 2_000

    def each_s() -> float:
        began = time.perf_counter()
        for _ in range(count):
            with ledger.during(REMEMBER):
                pass
        return (time.perf_counter() - began) / count

    assert min(each_s() for _ in range(5)) < 50e-6
