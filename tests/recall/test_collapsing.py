"""Near-duplicates among what was found: shipped pictures, and copies of them saved again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.bank import Banks
from edge.items import Answer, Arrival, Embedded, Floats, Question
from edge.memory import Flags, Memory, Rows
from edge.recall import Candidate, Corrector, Filter, Ranked, Retriever
from edge.recall.collapsing import REACH, THRESHOLD, collapse
from edge.runtime import TowerRunner

DOG = "golden-retriever.jpg"
Ask = Callable[..., Answer]


def saved_again(file: Path, folder: Path, quality: int) -> Path:
    """A copy as a phone or a chat makes one."""
    copy = folder / f"{file.stem}-{quality}.jpg"
    with Image.open(file) as picture:
        picture.convert("RGB").save(copy, "JPEG", quality=quality)
    return copy


@pytest.fixture
def filtering(memory: Memory, image: TowerRunner) -> Filter:
    return Filter(memory, image.spec, 1_000_000)


@pytest.fixture
def ask(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory, filtering: Filter) -> Ask:
    """`ask("a dog", pool=50, better=told.append, limit=5, ...)` with near-duplicates collapsed."""
    correcting = Corrector(image, memory, banks, batch=8)

    def run(sentence: str, *, pool: int = 50, better: Callable[[Answer], None] = lambda _: None, **more: Any) -> Answer:
        retriever = Retriever(text, image.spec, filtering, correcting, memory, pool=pool)
        return retriever.ask(Question(text=sentence, **{"collapse": True, "limit": 5, **more}), better)

    return run


@pytest.fixture
def burst(pictures: list[Path], tmp_path: Path, remember: Callable[..., None]) -> list[Path]:
    """A dog and three copies, then seven other pictures, all at the first exit."""
    dog = next(file for file in pictures if file.name == DOG)
    copies = [saved_again(dog, tmp_path, quality) for quality in (95, 90, 85)]
    others = [file for file in pictures if file.name != DOG][:7]
    remember([dog, *copies, *others])
    return [dog, *copies, *others]


def sources(answer: Answer) -> list[str]:
    return [hit.item.source for hit in answer.hits]


def similar(answer: Answer) -> list[int]:
    return [hit.similar for hit in answer.hits]


@pytest.mark.parametrize("refine", [True, False])
def test_copies_of_a_picture_are_one_hit_that_names_the_others(
    *, refine: bool, ask: Ask, memory: Memory, burst: list[Path]
) -> None:
    answer = ask("a dog with its tongue out", refine=refine)
    first, *others = answer.hits
    assert len(answer.hits) == 5
    assert similar(answer) == [3, 0, 0, 0, 0]
    found = {first.item.digest, *first.similar_items}
    named = [memory.find(digest) for digest in found]
    assert {item.source for item in named if item} == {str(file) for file in burst[:4]}
    assert all(hit.similar_items == () for hit in others)


def test_the_best_of_them_is_the_hit_and_the_others_come_best_first(ask: Ask, burst: list[Path]) -> None:
    every = ask("a dog with its tongue out", collapse=False, limit=len(burst))
    first, *_ = ask("a dog with its tongue out").hits
    copies = [hit.item for hit in every.hits if hit.item.source in {str(file) for file in burst[:4]}]
    assert (first.item, *first.similar_items) == (copies[0], *(item.digest for item in copies[1:]))


def test_without_collapsing_each_is_a_hit(ask: Ask, burst: list[Path]) -> None:
    answer = ask("a dog with its tongue out", collapse=False, limit=20)
    assert set(sources(answer)) == {str(file) for file in burst}
    assert similar(answer) == [0] * len(burst)


@pytest.mark.parametrize("refine", [True, False])
def test_pages_count_collapsed_hits_and_hold_each_once(*, refine: bool, ask: Ask, burst: list[Path]) -> None:
    whole = ask("a dog", refine=refine, limit=20)
    pages = [ask("a dog", refine=refine, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [len(page.hits) for page in pages] == [3, 3, 2, 0]
    assert [name for page in pages for name in sources(page)] == sources(whole)
    assert sum(similar(whole)) + len(whole.hits) == len(burst)


@pytest.mark.parametrize("pool", [0, 2])
def test_page_is_filled_from_behind_what_was_looked_for(
    pool: int, ask: Ask, burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.recall.paging._SPARE", 0)
    answer = ask("a dog with its tongue out", pool=pool, limit=3)  # the four copies are the best
    assert len(answer.hits) == 3
    assert sum(similar(answer)) >= 1
    assert len(set(sources(answer)) & {str(file) for file in burst[4:]}) >= 1


def test_page_is_full_already_and_nothing_more_is_searched(
    ask: Ask, burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_searches(monkeypatch)
    ask("a dog with its tongue out", limit=5)
    assert counts == [50]
    ask("a dog with its tongue out", collapse=False, limit=len(burst) + 50)
    assert counts == [50, len(burst) + 50]


def test_page_that_holds_all_there_is_costs_no_more_search(
    ask: Ask, burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_searches(monkeypatch)
    told: list[Answer] = []
    ask("a dog with its tongue out", stream=True, better=told.append, limit=len(burst))
    assert told
    assert counts == [50]


@pytest.mark.usefixtures("burst")
def test_page_that_is_short_by_its_copies_is_filled_from_a_little_further(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_searches(monkeypatch)
    ask("a dog with its tongue out", pool=0, limit=3)
    assert counts == [19]
    monkeypatch.setattr("edge.recall.paging._SPARE", 0)
    answer = ask("a dog with its tongue out", pool=0, limit=3)
    assert counts == [19, 3, 12]
    assert similar(answer) == [3, 0, 0]


def test_page_by_example_that_is_short_is_filled_though_the_example_itself_is_found(
    ask: Ask, memory: Memory, burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.recall.paging._SPARE", 0)
    monkeypatch.setattr("edge.recall.paging._WIDER", 2)
    counts = counted_searches(monkeypatch)
    (dog,) = (item for number in range(1, 12) if (item := memory.item(number)).source == str(burst[0]))
    answer = ask("", like=dog.digest, pool=0, limit=2)
    assert counts == [3, 5]  # one more each, for the example
    assert similar(answer) == [2, 0]


def counted_searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates each search was for."""
    counts: list[int] = []
    best = Filter.best

    def counted(self: Filter, query: Any, count: int, admitted: Rows | None = None) -> list[Candidate]:
        counts.append(count)
        return best(self, query, count, admitted)

    monkeypatch.setattr(Filter, "best", counted)
    return counts


@pytest.mark.usefixtures("burst")
def test_stream_collapses_in_every_answer(ask: Ask) -> None:
    told: list[Answer] = []
    final = ask("a dog with its tongue out", stream=True, better=told.append)
    assert told
    assert all(answer.hits[0].similar == 3 for answer in (*told, final))


@pytest.mark.usefixtures("burst")
def test_what_is_not_relevant_enough_is_not_counted_beside_a_hit(ask: Ask) -> None:
    every = ask("a dog with its tongue out", collapse=False, limit=4)
    likely = [hit.relevance for hit in every.hits if hit.relevance is not None]
    least = (likely[1] + likely[2]) / 2
    answer = ask("a dog with its tongue out", least=least)
    assert sum(similar(answer)) + len(answer.hits) == 2


def test_hit_that_is_forgotten_meanwhile_leaves_its_place_to_its_copy(
    ask: Ask, memory: Memory, burst: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask("a dog with its tongue out", refine=False)
    item = memory.item

    def gone(number: int) -> Any:
        if number == whole.hits[0].item.id:
            raise KeyError(number)
        return item(number)

    monkeypatch.setattr(memory, "item", gone)
    answer = ask("a dog with its tongue out", refine=False)
    assert answer.hits[0].item.digest == whole.hits[0].similar_items[0]
    assert answer.hits[0].similar_items == whole.hits[0].similar_items[1:]
    assert answer.hits[0].item.source in {str(file) for file in burst[:4]}
    assert similar(answer) == [2, 0, 0, 0, 0]


def test_copies_at_different_exits_are_two_hits_until_both_are_finished(
    ask: Ask, pictures: list[Path], tmp_path: Path, remember: Callable[..., None], image: TowerRunner
) -> None:
    dog = next(file for file in pictures if file.name == DOG)
    remember([dog], image.spec.exits[0])
    remember([saved_again(dog, tmp_path, 90)], image.spec.exits[1])
    assert similar(ask("a dog", refine=False)) == [0, 0]
    assert similar(ask("a dog")) == [1]


def test_copy_that_stands_at_the_last_exit_is_compared_with_one_that_was_just_finished(
    ask: Ask, pictures: list[Path], tmp_path: Path, remember: Callable[..., None], image: TowerRunner
) -> None:
    dog = next(file for file in pictures if file.name == DOG)
    remember([dog], image.spec.exits[0])
    remember([saved_again(dog, tmp_path, 90), *pictures[:2]], image.spec.exits[-1])
    answer = ask("a dog with its tongue out")
    assert similar(answer) == [1, 0, 0]
    assert answer.refined == 4


def test_no_two_of_the_shipped_pictures_are_near_duplicates_at_any_exit(
    ask: Ask, pictures: list[Path], remember: Callable[..., None]
) -> None:
    remember(pictures)
    for refine in (False, True):
        answer = ask("a picture", refine=refine, pool=len(pictures), limit=len(pictures))
        assert similar(answer) == [0] * len(pictures)


# What follows deals in embeddings alone.


def found(count: int, depth: int = 3, first: int = 1) -> list[Ranked]:
    return [Ranked(Candidate(first + place, depth, 1 - place / 10_000)) for place in range(count)]


def beside(cosine: float, turn: int = 1) -> Floats:
    """(4,) at this cosine with the first axis."""
    row = np.zeros(4, dtype=np.float32)
    row[0], row[turn] = cosine, np.sqrt(1 - cosine**2)
    return row


class Rowed:
    """Embeddings by depth and id; `reads`: of which depth how many were read, one entry a call."""

    def __init__(self, rows: dict[tuple[int, int], Floats]) -> None:
        self.rows, self.reads = rows, list[tuple[int, int]]()

    def __call__(self, depth: int, ids: Rows) -> tuple[Flags, Floats]:
        self.reads.append((depth, len(ids)))
        there = [(depth, number) in self.rows for number in ids.tolist()]
        kept = [self.rows[depth, number] for number in ids.tolist() if (depth, number) in self.rows]
        return np.array(there, dtype=bool), np.array(kept, dtype=np.float32)


def groups(ranked: Sequence[Ranked], stored: Rowed, count: int = 100) -> list[list[int]]:
    return [[one.best.item for one in group] for group in collapse(ranked, stored, count)]


def test_threshold_itself_is_near_enough() -> None:
    rows = Rowed({(3, 1): beside(1), (3, 2): beside(THRESHOLD + 1e-4), (3, 3): beside(THRESHOLD - 1e-4, turn=2)})
    assert groups(found(3), rows) == [[1, 2], [3]]


def test_chain_of_near_duplicates_does_not_reach_a_different_picture() -> None:
    angle = np.arccos(THRESHOLD) * 0.9
    rows = {(3, 1 + step): np.array([np.cos(step * angle), np.sin(step * angle)], np.float32) for step in range(4)}
    assert groups(found(4), Rowed(rows)) == [[1, 2], [3, 4]]


def test_pool_is_read_at_once_for_each_exit() -> None:
    ranked = [*found(5, depth=3), *found(4, depth=7, first=10)]
    rows = Rowed({(one.best.depth, one.best.item): beside(1) for one in ranked})
    assert groups(ranked, rows) == [[1, 2, 3, 4, 5], [10, 11, 12, 13]]
    assert rows.reads == [(3, 5), (7, 4)]


def test_what_was_just_finished_is_not_read() -> None:
    fine = [Ranked(one.coarse, Candidate(one.coarse.item, 9, 1), embedding=beside(1)) for one in found(2)]
    rows = Rowed({(9, 7): beside(1)})
    assert groups([*fine, *found(1, depth=9, first=7)], rows) == [[1, 2, 7]]
    assert rows.reads == [(9, 1)]


def test_item_that_left_its_exit_meanwhile_stands_for_itself() -> None:
    rows = Rowed({(3, 1): beside(1), (3, 3): beside(1)})
    assert groups(found(3), rows) == [[1, 3], [2]]
    assert groups(found(3), Rowed({})) == [[1], [2], [3]]


def test_items_of_an_earlier_bundle_stand_for_themselves() -> None:
    older = [Ranked(Candidate(number, 3, 1, is_earlier=True)) for number in (5, 6)]
    rows = Rowed({(3, number): beside(1) for number in range(10)})
    assert groups([*older, *found(2)], rows) == [[5], [6], [1, 2]]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_no_more_groups_than_are_wanted(count: int) -> None:
    rows = Rowed({(3, 1): beside(1), (3, 2): beside(0), (3, 3): beside(1), (3, 4): beside(0, turn=2)})
    assert groups(found(4), rows, count) == [[1, 3], [2], [4]][:count]


def test_behind_the_reach_each_stands_for_itself() -> None:
    ranked = found(REACH + 5)
    rows = Rowed({(3, one.best.item): beside(1) for one in ranked})
    first, *others = groups(ranked, rows, 4)
    assert len(first) == REACH
    assert others == [[REACH + 1], [REACH + 2], [REACH + 3]]
    assert rows.reads == [(3, REACH)]


def test_nothing_found_is_nothing_collapsed() -> None:
    assert groups([], Rowed({})) == []


def test_index_gives_what_the_memory_holds(
    memory: Memory, filtering: Filter, image: TowerRunner, arrival: Callable[[Path], Arrival], pictures: list[Path]
) -> None:
    depth, width = image.spec.exits[0].depth, 384
    memory.accept([arrival(file) for file in pictures[:6]])
    rows = np.random.default_rng(1).normal(size=(4, width)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    memory.index([Embedded(item=1 + place, depth=depth, embedding=row) for place, row in enumerate(rows)])
    are_there, none = filtering.stored(depth, np.array([4, 1]))
    assert (are_there.tolist(), len(none)) == ([False, False], 0)  # it was not brought up to date
    filtering.refresh()
    are_there, got = filtering.stored(depth, np.array([4, 6, 1]))
    assert are_there.tolist() == [True, False, True]
    np.testing.assert_array_equal(got, rows[[3, 0]].astype(np.float16).astype(np.float32))
