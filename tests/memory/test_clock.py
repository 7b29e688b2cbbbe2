"""A board whose clock jumps: the order of what is stored and the times between stay right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from clocks import Board
from edge.items import Arrival
from edge.memory import Limits, Memory
from edge.memory.disk.clock import RELEASE, SETTLED_S

Named = Callable[[str], Arrival]
Keep = Callable[..., object]
DAY = 86_400.0
NOW = 1_800_000_000.0


def times(memory: Memory) -> list[float]:
    return [memory.item(number + 1).added_at for number in range(memory.tally.items)]


def arrive(memory: Memory, named: Named, board: Board, *texts: str, every_s: float = 60.0) -> None:
    """One after another, each some time after the one before."""
    for text in texts:
        board.rest(every_s)
        memory.accept([named(text)])


def test_items_are_stored_with_the_time_at_which_they_came(state: Path, named: Named, board: Board) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape", "bee")
        assert times(memory) == [NOW + 60, NOW + 120]


def test_clock_that_was_never_set_goes_on_behind_the_last_item(state: Path, named: Named, board: Board) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "bee", "cat")
        assert times(memory) == [NOW + 60, NOW + 120, NOW + 180]
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "dog")
        assert times(memory) == [NOW + 60, NOW + 120, NOW + 180, NOW + 240]


@pytest.mark.parametrize("openings", [1, 2])
@pytest.mark.parametrize("wrong", [5.0, NOW - 3_600, NOW + 30 * 365 * DAY])
def test_what_came_since_the_boot_moves_along_when_the_clock_is_set(
    state: Path, named: Named, board: Board, wrong: float, openings: int
) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
    board.boot(wrong)
    with ExitStack() as opened:
        for texts in (["bee", "cat"], []) if openings == 2 else (["bee", "cat"],):
            opened.close()
            memory = opened.enter_context(Memory(state, "one"))
            arrive(memory, named, board, *texts)
        board.set(NOW + 90 * DAY)
        arrive(memory, named, board, "dog")
        assert times(memory) == pytest.approx([NOW + 60, *(NOW + 90 * DAY + after for after in (-60, 0, 60))], abs=1e-3)


def test_first_boot_of_all_in_1970_is_mended_by_the_network(state: Path, named: Named, board: Board) -> None:
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape", "bee")
        assert times(memory) == [65, 125]
        board.set(NOW)
        arrive(memory, named, board, "cat")
        assert times(memory) == pytest.approx([NOW - 60, NOW, NOW + 60], abs=1e-3)


def test_clock_that_is_set_twice_moves_what_came_twice(state: Path, named: Named, board: Board) -> None:
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
        board.set(NOW + DAY)
        arrive(memory, named, board, "bee")
        board.set(NOW)
        arrive(memory, named, board, "cat")
        assert times(memory) == pytest.approx([NOW - 60, NOW, NOW + 60], abs=1e-3)


def test_clock_that_is_set_from_one_wrong_time_to_another_changes_nothing(
    state: Path, named: Named, board: Board
) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "bee")
        board.set(RELEASE - DAY)
        arrive(memory, named, board, "cat")
        assert times(memory) == [NOW + 60, NOW + 120, NOW + 180]


def test_items_of_a_boot_whose_clock_was_ahead_do_not_hold_back_the_right_time(
    state: Path, named: Named, board: Board
) -> None:
    board.boot(NOW + 70 * 365 * DAY)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
    board.boot(NOW)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "bee")
        assert times(memory)[1] == NOW + 60


def test_small_corrections_do_not_turn_the_order_round(state: Path, named: Named, board: Board) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape", every_s=1)
        board.set(board.unix - 3)
        arrive(memory, named, board, "bee", every_s=1)
        assert times(memory) == [NOW + 1, NOW + 2]


def test_sightings_since_the_boot_move_along_and_earlier_ones_stay(state: Path, named: Named, board: Board) -> None:
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape", "ape", "bee")
    board.boot(5.0)
    with Memory(state, "one") as memory:
        board.rest(60)
        memory.sighted([named("bee").digest])
        board.set(NOW + 90 * DAY)
        memory.sighted([])
        assert memory.item(1).seen_at == NOW + 120
        assert memory.item(2).seen_at == pytest.approx(NOW + 90 * DAY, abs=1e-3)


def test_change_that_fails_is_made_up_for_by_the_next(
    state: Path, named: Named, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.boot(5.0)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
        board.set(NOW)
        with monkeypatch.context() as patch:
            patch.setattr(memory._content, "put", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                memory.accept([named("bee")])
        assert times(memory) == [65]
        arrive(memory, named, board, "bee")
        assert times(memory) == pytest.approx([NOW, NOW + 60], abs=1e-3)


WEEK = Limits(max_age_s=7 * DAY)


def test_content_is_kept_for_its_time_across_boots(state: Path, keep: Keep, board: Board) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape")
        board.rest(7 * DAY)
        assert memory.evict(WEEK) == 0
    board.boot(NOW + 7 * DAY + 60)
    with Memory(state, "one") as memory:
        board.rest(SETTLED_S)
        assert memory.evict(WEEK) == 1


def test_clock_that_began_or_was_set_a_moment_ago_makes_nothing_old(state: Path, keep: Keep, board: Board) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape")
    board.boot(NOW + 70 * 365 * DAY)
    with Memory(state, "one") as memory:
        board.rest(SETTLED_S - 1)
        assert memory.evict(WEEK) == 0
        board.set(NOW + DAY)
        assert memory.evict(WEEK) == 0
        board.rest(SETTLED_S)
        assert memory.evict(WEEK) == 0
        board.rest(6 * DAY)
        assert memory.evict(WEEK) == 1


def test_what_came_in_1970_is_not_56_years_old_once_the_clock_is_set(state: Path, keep: Keep, board: Board) -> None:
    board.boot(5.0)
    with Memory(state, "one") as memory:
        keep(memory, "ape")
        board.set(NOW)
        board.rest(SETTLED_S)
        assert memory.evict(WEEK) == 0
        board.rest(SETTLED_S)
        assert memory.evict(WEEK) == 0
        board.rest(7 * DAY)
        assert memory.evict(WEEK) == 1


def test_clock_that_is_known_to_be_behind_makes_nothing_old(state: Path, keep: Keep, board: Board) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape")
    board.boot(5.0)
    with Memory(state, "one") as memory:
        board.rest(30 * DAY)
        assert memory.evict(WEEK) == 0


def test_system_that_does_not_name_its_boots_has_one_at_each_start(
    state: Path, named: Named, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.memory.disk.clock.boot_id", lambda: None)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "ape")
    board.boot(NOW + 90 * DAY)
    with Memory(state, "one") as memory:
        arrive(memory, named, board, "bee")
        assert times(memory) == [NOW + 60, NOW + 90 * DAY + 60]
