"""Global verifying: one pool of what the exits found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.recall.candidate import Candidate
from edge.recall.verifying import verify

LOGITS = st.floats(-20, 20, allow_nan=False)


def at(depth: int, **logits: float) -> list[Candidate]:
    """`at(3, a=1.5)`: item 97, found at depth 3 with this logit and a cosine that says the opposite."""
    return [Candidate(ord(name), depth, -logit, logit) for name, logit in logits.items()]


def names(pool: list[Candidate]) -> str:
    return "".join(chr(one.item) for one in pool)


def test_exits_are_merged_by_their_logit_and_by_nothing_else() -> None:
    pool = verify([at(3, a=2.0, b=-1.0), at(7, c=1.0, d=-3.0), at(12, e=0.0)], 10)
    assert names(pool) == "acebd"


def test_merge_of_a_bundle_without_calibration_is_by_the_cosine() -> None:
    pool = verify([[Candidate(1, 3, 0.2)], [Candidate(2, 7, 0.5), Candidate(3, 7, 0.1)]], 2)
    assert [one.item for one in pool] == [2, 1]


def test_equal_ones_are_in_the_order_of_their_ids() -> None:
    assert names(verify([at(7, b=1.0), at(3, a=1.0, c=1.0)], 3)) == "abc"


def test_item_that_was_found_twice_counts_once_as_deep_as_it_was_found_and_the_next_is_admitted() -> None:
    found = [at(3, a=9.0, b=2.0), at(12, a=1.0, c=0.0)]
    pool = verify(found, 3)
    assert names(pool) == "bac"
    assert [one.depth for one in pool] == [3, 12, 12]
    assert verify(list(reversed(found)), 3) == pool


def test_nothing_found_is_an_empty_pool() -> None:
    assert verify([], 5) == verify([[], []], 5) == verify([at(3, a=1.0)], 0) == []


@given(st.lists(st.dictionaries(st.integers(1, 30), LOGITS, max_size=12), max_size=5), st.integers(0, 20))
def test_pool_is_the_best_of_all_items_each_once(exits: list[dict[int, float]], count: int) -> None:
    found = [[Candidate(item, depth, 0.0, logit) for item, logit in one.items()] for depth, one in enumerate(exits)]
    pool = verify(found, count)
    every = {item for one in exits for item in one}
    assert len(pool) == min(count, len(every))
    assert len({one.item for one in pool}) == len(pool)
    assert [one.order for one in pool] == sorted(one.order for one in pool)
    left_out = every - {one.item for one in pool}
    deepest = {item: one[item] for one in exits for item in one}
    assert all(deepest[item] <= min(one.logit or 0.0 for one in pool) for item in left_out if pool)
