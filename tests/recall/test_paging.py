"""How far a page looks, so that it is full: as far as it must, and no further than what can be collapsed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge.items import Floats, Question
from edge.memory import Flags, Rows
from edge.recall.candidate import Candidate
from edge.recall.collapsing import REACH
from edge.recall.correcting import Ranked
from edge.recall.paging import Pages, wanted

DEPTH = 3
ITEMS = 5_000


class Shelf:
    """Items by falling score, the first `copies` of them near-duplicates of each other; notes what is looked for."""

    def __init__(self, copies: int, items: int = ITEMS) -> None:
        self.copies, self.searched = copies, list[int]()
        self.found = [Candidate(number, DEPTH, 1.0, 5.0 - 5.0 * number / ITEMS) for number in range(items)]

    def search(self, count: int) -> Sequence[Candidate]:
        self.searched.append(count)
        return self.found[:count]

    def stored(self, depth: int, ids: Rows) -> tuple[Flags, Floats]:
        """One direction for all copies, and one of its own for each other item."""
        assert depth == DEPTH
        rows = np.zeros((len(ids), ITEMS), dtype=np.float32)
        rows[np.arange(len(ids)), np.where(ids < self.copies, 0, ids)] = 1
        return np.ones(len(ids), dtype=bool), rows


def page(shelf: Shelf, question: Question, pool: int = 0) -> list[list[int]]:
    most = wanted(question, pool)
    found = shelf.found[:most]
    pages = Pages(question, found[:pool], found[pool:], shelf.stored, shelf.search, most)
    return [[one.best.item for one in group] for group in pages.page([Ranked(one, one) for one in found[:pool]])]


@pytest.mark.parametrize(
    ("copies", "searched"),
    [
        (1, []),
        (17, []),  # of 26 that were looked for at first
        (18, [104]),
        (95, [104]),
        (96, [104, 416]),
        (500, [104, 416, 10 + REACH]),
    ],
)
def test_each_step_looks_four_times_as_far_until_the_page_is_full(copies: int, searched: list[int]) -> None:
    shelf = Shelf(copies)
    found = page(shelf, Question(text="a dog", collapse=True, limit=10))
    assert [group[0] for group in found] == [0, *range(copies, copies + 9)]
    assert len(found[0]) == copies
    assert shelf.searched == searched


def test_page_is_full_though_all_within_reach_are_copies() -> None:
    shelf = Shelf(ITEMS)
    found = page(shelf, Question(text="a dog", collapse=True, limit=10))
    assert [len(group) for group in found] == [REACH, *[1] * 9]
    assert shelf.searched[-1] == 10 + REACH


@pytest.mark.parametrize("pool", [0, 50])
def test_pages_behind_each_other_hold_what_one_long_page_does(pool: int) -> None:
    whole = page(Shelf(300), Question(text="a dog", collapse=True, limit=60), pool)
    parts = [
        page(Shelf(300), Question(text="a dog", collapse=True, limit=20, offset=offset), pool) for offset in (0, 20, 40)
    ]
    assert [group[0] for part in parts for group in part] == [group[0] for group in whole]


def test_memory_that_was_found_whole_is_not_searched_again() -> None:
    shelf = Shelf(4, items=8)
    assert len(page(shelf, Question(text="a dog", collapse=True, limit=10))) == 5
    assert shelf.searched == []


def test_memory_that_ends_within_a_step_is_not_searched_again() -> None:
    shelf = Shelf(30, items=35)
    assert len(page(shelf, Question(text="a dog", collapse=True, limit=10))) == 6
    assert shelf.searched == [104]


def test_nothing_is_looked_for_behind_what_is_not_relevant_enough() -> None:
    shelf = Shelf(8)
    least = shelf.found[11].relevance
    assert least is not None
    found = page(shelf, Question(text="a dog", collapse=True, limit=10, least=least), pool=4)
    assert [group[0] for group in found] == [0, 8, 9, 10, 11]
    assert shelf.searched == []


def test_pool_beyond_all_that_can_be_collapsed_is_not_searched_again() -> None:
    shelf = Shelf(2_000)
    least = shelf.found[-1].relevance
    found = page(shelf, Question(text="a dog", collapse=True, limit=10, least=least), pool=1_500)
    assert [len(group) for group in found] == [REACH, *[1] * 9]
    assert shelf.searched == []


def test_page_without_collapsing_is_what_was_found() -> None:
    shelf = Shelf(8)
    found = page(shelf, Question(text="a dog", collapse=False, limit=10))
    assert found == [[number] for number in range(10)]
    assert shelf.searched == []
