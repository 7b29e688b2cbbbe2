"""Exits by dynamic programming, against trying all choices."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.exit_choice import choose_exits
from edge.errors import UsageError

Labels = npt.NDArray[np.bool_]
Costs = npt.NDArray[np.float64]


def cost_of(exits: tuple[int, ...], survival: Labels, costs: Costs, refine_cost: float) -> float:
    """Item by item, as the rule is told."""
    total = 0.0
    for labels in survival:
        left = next((exit_ for exit_ in exits if labels[: exit_ + 1].any()), exits[-1] if labels.any() else exits[0])
        total += costs[left] + (refine_cost if left < len(costs) - 1 else 0.0)
    return total / max(len(survival), 1)


def tried(survival: Labels, costs: Costs, count: int, refine_cost: float) -> dict[tuple[int, ...], float]:
    last = len(costs) - 1
    choices = ((*early, last) for early in combinations(range(last), count - 1))
    return {exits: cost_of(exits, survival, costs, refine_cost) for exits in choices}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Labels, Costs, int, float]:
    candidates = draw(st.integers(1, 7))
    row = st.lists(st.booleans(), min_size=candidates, max_size=candidates)
    rows = draw(st.lists(row, min_size=1, max_size=12))
    steps = draw(st.lists(st.integers(0, 9), min_size=candidates, max_size=candidates))
    refine_cost = draw(st.sampled_from((0.0, 1.0, 5.0)))
    costs = np.cumsum(steps).astype(np.float64)
    return np.array(rows, dtype=bool), costs, draw(st.integers(1, candidates)), refine_cost


@given(cases())
def test_no_choice_of_exits_costs_less(case: tuple[Labels, Costs, int, float]) -> None:
    survival, costs, count, refine_cost = case
    choice, every = choose_exits(survival, costs, count, refine_cost), tried(*case)
    assert choice.exits in every
    assert choice.cost == pytest.approx(every[choice.exits])
    assert choice.cost == pytest.approx(min(every.values()))


@given(cases())
def test_with_labels_that_hold_from_a_depth_on_an_item_leaves_at_the_first_exit_that_finds_it(
    case: tuple[Labels, Costs, int, float],
) -> None:
    survival, costs, count, refine_cost = case
    held = np.logical_or.accumulate(survival, axis=1)
    choice = choose_exits(held, costs, count, refine_cost)
    left = [
        next((exit_ for exit_ in choice.exits if row[exit_]), choice.exits[0] if not row.any() else choice.exits[-1])
        for row in held
    ]
    early = sum(exit_ < len(costs) - 1 for exit_ in left)
    assert choice.cost == pytest.approx((costs[left].sum() + refine_cost * early) / len(held))


@given(cases())
def test_one_exit_more_never_costs_more_where_early_exits_are_free_of_later_cost(
    case: tuple[Labels, Costs, int, float],
) -> None:
    survival, costs, _, _ = case
    means = [choose_exits(survival, costs, count).cost for count in range(1, len(costs) + 1)]
    assert all(later <= before + 1e-9 for before, later in pairwise(means))


def test_exits_lie_where_items_are_first_found() -> None:
    firsts = np.array([2] * 60 + [5] * 30 + [9] * 10)
    survival = np.arange(12) >= firsts[:, None]
    choice = choose_exits(survival, np.arange(1, 13, dtype=np.float64), 4)
    assert choice.exits == (2, 5, 9, 11)
    assert choice.cost == pytest.approx(0.6 * 3 + 0.3 * 6 + 0.1 * 10)


def test_items_that_nothing_finds_pull_the_first_exit_up() -> None:
    found = np.arange(6) >= np.array([3] * 10)[:, None]
    hopeless = np.zeros((5, 6), dtype=bool)
    costs = np.arange(1, 7, dtype=np.float64)
    assert choose_exits(found, costs, 3).exits[0] == 0  # nobody leaves there; of equal choices, the shallower
    assert choose_exits(np.concatenate([found, hopeless]), costs, 2).exits == (3, 5)  # 15 x 4 ms; else 5 x 1 + 10 x 6
    assert choose_exits(np.concatenate([found, hopeless, hopeless]), costs, 2).exits == (
        0,
        5,
    )  # 10 x 1 + 10 x 6; else 20 x 4


def test_finishing_that_is_dear_keeps_items_to_the_end() -> None:
    survival = np.arange(3) >= np.array([1] * 10)[:, None]
    costs = np.array([1.0, 2.0, 3.0])
    assert choose_exits(survival, costs, 2).exits == (1, 2)
    assert choose_exits(survival, costs, 2, refine_cost=5.0).exits == (0, 2)


def test_one_exit_is_the_end() -> None:
    choice = choose_exits(np.ones((4, 3), dtype=bool), np.array([1.0, 2.0, 4.0]), 1)
    assert choice.exits == (2,)
    assert choice.cost == 4.0


@pytest.mark.parametrize("count", [0, 4])
def test_more_exits_than_candidates_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} exits are asked for, of 3 candidates: ask for 1 to 3"):
        choose_exits(np.ones((4, 3), dtype=bool), np.array([1.0, 2.0, 4.0]), count)
