"""How much may be refined ahead: whole groups, never more in an hour than the owner allows and one group."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge.recall import Allowance
from edge.recall.allowance import GROUP


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_allowed_at_the_start_so_that_restarts_do_not_add_up(clock: Clock) -> None:
    assert Allowance(1_000_000, clock).group() == 0


def test_whole_group_is_allowed_once_its_time_has_passed(clock: Clock) -> None:
    allowance = Allowance(3_600, clock)
    clock.now += GROUP - 1
    assert allowance.group() == 0
    clock.now += 1
    assert allowance.group() == allowance.group() == GROUP  # asking takes nothing
    allowance.spend(GROUP)
    assert allowance.group() == 0


def test_days_without_idle_time_do_not_add_up_to_more_than_one_group(clock: Clock) -> None:
    allowance = Allowance(3_600, clock)
    clock.now += 7 * 86_400
    assert allowance.group() == GROUP
    allowance.spend(GROUP)
    assert allowance.group() == 0


def test_what_an_interruption_left_is_kept(clock: Clock) -> None:
    allowance = Allowance(3_600, clock)
    clock.now += GROUP
    assert allowance.group() == GROUP
    allowance.spend(3)
    assert allowance.group() == 0
    clock.now += 3
    assert allowance.group() == GROUP


@pytest.mark.parametrize("per_hour", [1, 5, 31, 32, 33, 1_000])
def test_hour_has_what_is_allowed_and_a_group_at_most(clock: Clock, per_hour: int) -> None:
    allowance, done = Allowance(per_hour, clock), []
    for _ in range(5 * 720):
        clock.now += 5
        done.append(allowance.group())
        allowance.spend(done[-1])
    hours = [sum(done[start : start + 720]) for start in range(0, len(done) - 719, 60)]
    assert max(hours) <= per_hour + min(GROUP, per_hour)
    assert sum(done) == pytest.approx(5 * per_hour, abs=min(GROUP, per_hour) + 0.05 * 5 * per_hour)
