"""Windows from the histogram of exits: whole, in order, each ending at an exit, small where many items leave."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from hypothesis import given
from hypothesis import strategies as st

from converter.healing import windows
from converter.healing.windows import GROWTH, check_windows, pivot_windows
from converter.recipe import RECIPES, HealRecipe, Recipe, load_recipe
from edge.errors import UsageError

pytestmark = pytest.mark.convert


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    layers = draw(st.integers(1, 32))
    histogram = draw(st.lists(st.integers(0, 50), min_size=layers, max_size=layers))
    return histogram, sorted(draw(st.sets(st.integers(1, layers)))), layers


def test_the_examples_of_the_rule_are_true() -> None:
    assert doctest.testmod(windows).failed == 0


@given(cases())
def test_windows_cover_all_layers_in_order_and_end_at_exits(case: tuple[list[int], list[int], int]) -> None:
    histogram, exits, layers = case
    found = pivot_windows(histogram, exits, layers)
    assert [layer for first, last in found for layer in range(first, last + 1)] == list(range(1, layers + 1))
    assert {last for _, last in found} <= {*exits, layers}
    HealRecipe(windows=found)  # as a recipe would name them


@given(cases())
def test_no_window_is_more_than_twice_as_long_as_the_one_before_where_exits_allow(
    case: tuple[list[int], list[int], int],
) -> None:
    histogram, exits, layers = case
    ends = sorted({*exits, layers})
    length = ends[0]
    for first, last in pivot_windows(histogram, exits, layers):
        next_exit = next(depth for depth in ends if depth >= first)
        assert last - first + 1 <= GROWTH * length or last == next_exit
        length = last - first + 1


@given(cases(), st.integers(1, 1000))
def test_counts_and_shares_give_the_same_windows(case: tuple[list[int], list[int], int], times: int) -> None:
    histogram, exits, layers = case
    assert pivot_windows([times * count for count in histogram], exits, layers) == pivot_windows(*case)


def test_many_peaks_make_small_windows_and_the_long_rest_a_large_one() -> None:
    histogram = [0, 9, 0, 9, 0, 9, 0, 0, 0, 0, 0, 0]  # smoothed: 2.25 4.5 4.5 4.5 4.5 4.5 2.25 0 ...: one plateau
    assert pivot_windows(histogram, range(1, 13), 12) == ((1, 2), (3, 6), (7, 12))
    apart = [0, 9, 0, 0, 9, 0, 0, 9, 0, 0, 0, 0]
    assert pivot_windows(apart, range(1, 13), 12) == ((1, 2), (3, 5), (6, 8), (9, 12))


def test_a_pivot_between_exits_ends_its_window_at_the_next_exit() -> None:
    assert pivot_windows([0, 0, 0, 9, 0, 0, 0, 0], [3, 5, 8], 8) == ((1, 5), (6, 8))


def test_the_end_is_an_exit_also_where_it_is_not_named() -> None:
    assert pivot_windows([0, 5, 0, 0], [2], 4) == ((1, 2), (3, 4))


def test_where_nobody_leaves_windows_grow_by_depth_alone() -> None:
    assert pivot_windows([0] * 12, [3, 4, 5, 6, 7, 9, 12], 12) == ((1, 6), (7, 12))
    assert pivot_windows([0] * 12, [12], 12) == ((1, 12),)


def test_a_stretch_without_an_exit_near_enough_is_one_window() -> None:
    assert pivot_windows([9, *[0] * 11], [1, 9, 12], 12) == ((1, 1), (2, 9), (10, 12))


def test_a_histogram_of_another_tower_is_refused() -> None:
    with pytest.raises(ValueError, match="histogram has 3 layers, the tower 4"):
        pivot_windows([1, 2, 3], [2], 4)


def named(*windows: tuple[int, int], exits: tuple[int, ...] = (1, 2), choose: int = 0) -> Recipe:
    recipe = load_recipe(RECIPES / "vit-tiny-flickr8k.yaml")
    item = replace(recipe.item, exits=exits, choose=choose)
    return replace(recipe, item=item, heal=HealRecipe(windows=windows))


@pytest.mark.parametrize(
    ("windows", "fitting"),
    [
        (((1, 2),), "[[1, 2], [3, 4]]"),
        (((1, 2), (3, 6)), "[[1, 2], [3, 4]]"),
        (((1, 2), (3, 5), (6, 12)), "[[1, 2], [3, 4]]"),
        (((1, 2), (3, 3), (4, 4)), "[[1, 2], [3, 4]]"),
        (((1, 7),), "[[1, 4]]"),
    ],
)
def test_windows_that_do_not_fit_tower_and_exits_are_refused_with_some_that_do(
    windows: tuple[tuple[int, int], ...], fitting: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_windows(named(*windows), 4)
    assert str(caught.value) == (
        f"heal.windows is {[list(window) for window in windows]}: must end at layer 4, the tower's last, and hold one"
        f" of the exits 1, 2, 4 in each window: write {fitting}, or [] to have them found"
    )


def test_windows_that_fit_pass_and_so_do_those_that_are_found_later() -> None:
    for fitting in (((1, 4),), ((1, 2), (3, 4)), ((1, 1), (2, 2), (3, 4)), ()):
        check_windows(named(*fitting), 4)
    check_windows(named(choose=2, exits=()), 4)
    check_windows(replace(named((1, 2)), heal=None), 4)


def test_windows_are_not_named_together_with_exits_that_are_still_to_be_chosen() -> None:
    with pytest.raises(
        UsageError, match=r"^heal\.windows is \[\[1, 4\]\] and item\.choose 2: .* write heal\.windows: \[\]"
    ):
        check_windows(named((1, 4), exits=(), choose=2), 4)


@given(st.data())
def test_windows_that_are_found_always_pass(data: st.DataObject) -> None:
    layers = data.draw(st.integers(1, 24))
    exits = data.draw(st.sets(st.integers(1, layers)).map(sorted))
    histogram = data.draw(st.lists(st.integers(0, 9), min_size=layers, max_size=layers))
    found = pivot_windows(histogram, sorted({*exits, layers}), layers)
    check_windows(named(*found, exits=tuple(exits)), layers)
