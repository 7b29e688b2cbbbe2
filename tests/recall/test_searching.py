"""One question against all indexes: who is asked, in which order, and what is no answer. The towers are not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.memory import Rows
from edge.recall import Candidate
from edge.recall.example import Picture
from edge.recall.meaning import Meaning
from edge.recall.searching import Search, timed

PICTURE = Picture(b"", b"")


class Index:
    """Stands in for Filter and for Earlier: has its candidates, and notes what it was asked."""

    def __init__(self, name: str, log: list[Any], *found: Candidate) -> None:
        self.name, self.log, self.found, self.is_left_out = name, log, list(found), False

    def best(self, asked: Any, count: int, admitted: Rows | None = None, picture: Picture | None = None) -> Any:
        self.log.append((self.name, asked, count, admitted, picture))
        return self.found[:count]


@pytest.fixture
def log() -> list[Any]:
    return []


def search_of(meaning: Meaning, earlier: list[Any], present: list[Any], **more: Any) -> Search:
    asked = [(index, f"as {index.name}") for index in present]
    held = [len(index.found) for index in (*earlier, *present)]
    fields: Any = {"admitted": None, "held": held, "ready_ms": 1.0, "query_ms": 2.0, **more}
    return Search(meaning=meaning, earlier=earlier, present=asked, **fields)  # type: ignore[arg-type]


def items(search: Search, count: int = 9, pool: int = 0) -> list[int]:
    return [one.item for one in search.best(count, pool).candidates]


def older(item: int, score: float, logit: float | None = None) -> Candidate:
    return Candidate(item, 11, score, logit, is_earlier=True)


def test_earlier_bundles_are_asked_first_and_each_index_of_the_present_one_as_it_sees_the_question(
    log: list[Any],
) -> None:
    admitted = np.array([1, 2], dtype=np.int64)
    before, notes, pictures = (Index(name, log) for name in ("before", "notes", "pictures"))
    search = search_of(Meaning("a dog"), [before], [notes, pictures], admitted=admitted)
    assert search.best(5, 0).candidates == []
    assert [(name, asked, count) for name, asked, count, _, _ in log] == [
        ("before", "a dog", 5), ("notes", "as notes", 5), ("pictures", "as pictures", 5)
    ]  # fmt: skip
    assert all(one[3] is admitted for one in log)
    assert search.query == "as pictures"  # type: ignore[comparison-overlap]


def test_pictures_notes_and_earlier_items_stand_in_one_ranking_however_many_are_wanted(log: list[Any]) -> None:
    before = Index("before", log, older(1, 0.3, 2.0), older(2, 0.2, 1.0))
    notes = Index(
        "notes", log, Candidate(3, 12, 0.4, 1.5, modality="text"), Candidate(4, 12, 0.3, 0.5, modality="text")
    )
    pictures = Index("pictures", log, Candidate(5, 8, 0.2, 1.2), Candidate(6, 8, 0.1, 0.1))
    assert items(search_of(Meaning("a dog"), [before], [notes, pictures]), count=2) == [1, 3, 5, 2, 4, 6]


def test_item_that_is_the_example_is_found_nowhere(log: list[Any]) -> None:
    present = Index("pictures", log, Candidate(7, 8, 0.9, 9.0), Candidate(1, 8, 0.1, 0.0))
    before = Index("before", log, older(7, 0.9, 9.0), older(2, 0.2, 1.0))
    assert items(search_of(Meaning("a note", itself=7), [before], [present])) == [2, 1]


def test_by_picture_an_earlier_bundle_has_its_share_of_the_pool_and_is_shown_the_picture(log: list[Any]) -> None:
    before = Index("before", log, *(older(number, 0.01) for number in (1, 2)))
    present = Index("pictures", log, *(Candidate(number, 8, 0.9 - number / 100) for number in (3, 4, 5, 6, 7, 8)))
    search = search_of(Meaning("", PICTURE), [before], [present])
    assert items(search, count=4, pool=4) == [1, 3, 4, 5]  # 2 of 8 items: one place of four
    assert [one[4] for one in log] == [PICTURE, None]


def test_what_an_earlier_bundle_could_not_be_asked_for_is_counted_behind_the_search(log: list[Any]) -> None:
    lost, other = Index("lost", log, older(1, 0.1), older(2, 0.1)), Index("other", log, older(3, 0.1))
    search = search_of(Meaning("a dog"), [lost, other], [Index("pictures", log)])
    assert search.left_out == 0
    lost.is_left_out = True
    assert search.left_out == 2


def test_what_is_timed_is_done_once_and_returned() -> None:
    done: list[int] = []
    result, took_ms = timed(lambda: done.append(1) or "done")  # type: ignore[func-returns-value]
    assert (result, done) == ("done", [1])
    assert took_ms >= 0
