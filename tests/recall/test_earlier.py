"""What two bundles found becomes one pool: by probability for a text, by a share of the pool for an example."""

from __future__ import annotations

from edge.recall import Candidate
from edge.recall.earlier import join, join_alike


def ours(item: int, score: float, logit: float | None = None) -> Candidate:
    return Candidate(item, 16, score, logit)


def theirs(item: int, score: float, logit: float | None = None) -> Candidate:
    return Candidate(item, 11, score, logit, is_earlier=True)


def items(found: list[Candidate]) -> list[int]:
    return [one.item for one in found]


def test_text_ranks_both_by_probability() -> None:
    found = join([ours(1, 0.1, 2.0), ours(2, 0.9, 0.0)], [[theirs(3, 0.5, 1.0)], [theirs(4, 0.0, 3.0)]], 3)
    assert items(found) == [4, 1, 3]


def test_cosine_comes_behind_every_probability_and_that_of_an_earlier_bundle_last() -> None:
    found = join([ours(1, 0.1), ours(2, 0.2, -9.0)], [[theirs(3, 0.9), theirs(4, 0.3, -8.0)]], 9)
    assert items(found) == [4, 2, 1, 3]


def test_item_that_is_switched_meanwhile_is_found_once_as_the_present_bundles() -> None:
    assert join([ours(1, 0.1, 0.0)], [[theirs(1, 0.9, 5.0)]], 9) == [ours(1, 0.1, 0.0)]
    assert join_alike([ours(1, 0.1)], [[theirs(1, 0.9), theirs(2, 0.8)]], [0.5], 2, 9) == [theirs(2, 0.8), ours(1, 0.1)]


def test_example_gives_each_bundle_its_share_of_the_pool_however_high_its_cosines_are() -> None:
    present = [ours(number, 0.1 - number / 1e3) for number in range(1, 7)]
    low = [theirs(number, 0.01) for number in range(11, 17)]
    high = [theirs(number, 0.99) for number in range(21, 27)]
    for earlier in (low, high):
        found = join_alike(present, [earlier], [0.5], 4, 9)
        assert items(found) == [*items(earlier[:2]), 1, 2, 3, 4, 5, 6, earlier[2].item]
    two = join_alike(present, [low, high], [0.25, 0.5], 4, 6)
    assert items(two) == [11, 21, 22, 1, 2, 3]


def test_smallest_share_is_one_and_what_one_bundle_has_not_the_other_takes() -> None:
    present, few = [ours(1, 0.3), ours(2, 0.2)], [theirs(number, 0.1) for number in (11, 12, 13)]
    assert items(join_alike(present, [few], [0.001], 4, 4)) == [11, 1, 2, 12]
    assert items(join_alike(present, [[]], [0.5], 4, 4)) == [1, 2]


def test_without_a_pool_the_earlier_bundle_comes_behind() -> None:
    assert items(join_alike([ours(1, 0.1)], [[theirs(2, 0.9)]], [0.5], 0, 9)) == [1, 2]
