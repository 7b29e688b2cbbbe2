"""A question's whole way: text pass, coarse search, the pool finished, the answer."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.bank import Banks
from edge.items import Answer, Arrival, Hit, Item, Question
from edge.memory import Memory
from edge.recall import Candidate, Retriever
from edge.recall.correcting import Corrector
from edge.recall.filtering import Filter
from edge.recall.granularity import Granularities
from edge.runtime import TowerRunner

NEVER = 1_000_000
Ask = Callable[..., Answer]
SHOWN = {
    "a dog with its tongue out": "golden-retriever.jpg",
    "sushi": "sushi-rolls.jpg",
    "a sunflower": "sunflower.jpg",
    "a racing car": "white-sports-car.jpg",
}


@pytest.fixture
def ask(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory) -> Ask:
    """Asks one retriever: `ask("a dog", limit=5, pool=50, sort="time")`."""
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(image, memory, banks, batch=8)
    retriever = Retriever(text, image.spec, filtering, corrector, memory, pool=50)

    def run(sentence: str, *, limit: int = 5, pool: int = 50, **more: Any) -> Answer:
        retriever._pool = pool
        return retriever.ask(Question(text=sentence, limit=limit, **more))

    return run


@pytest.fixture
def twelve(pictures: list[Path], remember: Callable[..., None]) -> list[Path]:
    """What SHOWN names and eight others, remembered at the first exit."""
    named = [path for path in pictures if path.name in SHOWN.values()]
    chosen = named + [path for path in pictures if path not in named][:8]
    remember(chosen)
    return chosen


def test_question_finds_what_it_describes(ask: Ask, twelve: list[Path]) -> None:
    for question, name in SHOWN.items():
        answer = ask(question, limit=3, pool=12)
        assert answer.question == question
        assert answer.searched == len(twelve)
        assert Path(answer.hits[0].item.source).name == name


@pytest.mark.parametrize("limit", [1, 5, 12, 50])
def test_answer_has_as_many_hits_as_asked_for_or_as_there_are(limit: int, ask: Ask, twelve: list[Path]) -> None:
    answer = ask("a dog", limit=limit, pool=50)
    assert len(answer.hits) == min(limit, len(twelve))
    assert len({hit.item.id for hit in answer.hits}) == len(answer.hits)


def test_pool_of_0_answers_from_the_coarse_search(
    ask: Ask, memory: Memory, image: TowerRunner, twelve: list[Path], query: Callable[[str], Granularities]
) -> None:
    answer = ask("a dog", limit=5, pool=0)
    coarse = Filter(memory, image.spec, NEVER).best(query("a dog"), 5)
    assert [(hit.item.id, hit.depth, hit.score) for hit in answer.hits] == [
        (one.item, one.depth, one.score) for one in coarse
    ]
    assert {hit.depth for hit in answer.hits} == {image.spec.exits[0].depth}
    assert (answer.refined, answer.searched) == (0, len(twelve))


def assert_by_relevance(hits: Sequence[Hit]) -> None:
    found = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(found) == len(hits)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("pool", "refined"), [(1, 1), (3, 3), (12, 12), (50, 12)])
def test_pool_says_how_many_are_finished_also_when_more_are_wanted(
    pool: int, refined: int, ask: Ask, image: TowerRunner, twelve: list[Path]
) -> None:
    answer = ask("a dog", limit=12, pool=pool)
    assert answer.refined == refined
    first, last = image.spec.exits[0].depth, image.spec.exits[-1].depth
    assert [hit.depth for hit in answer.hits] == [last] * refined + [first] * (len(twelve) - refined)
    for hits in (answer.hits[:refined], answer.hits[refined:]):
        assert_by_relevance(hits)


@pytest.mark.usefixtures("twelve")
def test_lost_content_costs_the_fine_score_but_not_the_answer(
    ask: Ask, image: TowerRunner, content_file: Callable[[Path, Item], Path], state: Path
) -> None:
    before = ask("a dog with its tongue out", limit=12, pool=12)
    content_file(state, before.hits[0].item).unlink()
    after = ask("a dog with its tongue out", limit=12, pool=12)
    assert (before.refined, after.refined) == (12, 11)
    (lost,) = [hit for hit in after.hits if hit.depth != image.spec.exits[-1].depth]
    assert (lost.item, lost.depth) == (before.hits[0].item, image.spec.exits[0].depth)
    assert_by_relevance(after.hits)


@pytest.mark.usefixtures("twelve")
def test_unrefined_question_is_answered_from_the_coarse_search_whatever_the_pool(ask: Ask) -> None:
    unrefined, coarse = ask("a dog", refine=False), ask("a dog", pool=0)
    assert unrefined.hits == coarse.hits
    assert (unrefined.refined, unrefined.cut) == (0, False)


@pytest.mark.usefixtures("twelve")
def test_deadline_that_has_passed_costs_the_refining_but_not_the_answer(ask: Ask) -> None:
    late, coarse = ask("a dog", deadline=time.monotonic()), ask("a dog", pool=0)
    assert late.hits == coarse.hits
    assert (late.refined, late.cut) == (0, True)
    in_time = ask("a dog", deadline=time.monotonic() + 600)
    assert (in_time.refined, in_time.cut) == (12, False)


def test_order_by_time_puts_the_newest_first_and_changes_nothing_else(
    ask: Ask, memory: Memory, pictures: list[Path], arrival: Callable[[Path], Arrival], remember: Callable[..., None]
) -> None:
    # Taken in another order than that of their coming; the one of which nobody knows when counts by its coming.
    taken = [5.0, 3_000_000_000.0, None, 4_000_000_000.0, 5.0, 1.0]
    memory.accept(
        [dataclasses.replace(arrival(path), taken_at=at) for path, at in zip(pictures[:6], taken, strict=True)]
    )
    remember([])  # what waits
    relevant, newest = ask("a house", limit=4), ask("a house", limit=4, sort="time")
    assert set(newest.hits) == set(relevant.hits)
    assert_by_relevance(relevant.hits)
    every = ask("a house", limit=6, sort="time").hits
    assert [hit.item.id for hit in every] == [4, 2, 3, 1, 5, 6]
    assert [hit.item.id for hit in newest.hits] == [
        hit.item.id for hit in every if hit.item.id in {hit.item.id for hit in relevant.hits}
    ]


def test_what_was_remembered_between_two_questions_is_found(
    ask: Ask, pictures: list[Path], remember: Callable[..., None]
) -> None:
    dog = next(path for path in pictures if path.name == "golden-retriever.jpg")
    remember(pictures[:3])
    assert ask("a dog", limit=5, pool=50).searched == 3
    remember([dog])
    answer = ask("a dog", limit=5, pool=50)
    assert answer.searched == 4
    assert answer.hits[0].item.source == str(dog)


@pytest.mark.usefixtures("twelve")
def test_item_that_is_forgotten_while_a_question_is_answered_is_left_out(
    ask: Ask, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = Filter.best
    whole = ask("a dog", limit=12, pool=12)
    gone = whole.hits[0].item.id

    def forget(self: Filter, query: Granularities, count: int) -> list[Candidate]:
        found = best(self, query, count)
        memory._write(lambda: memory._rows.execute("DELETE FROM items WHERE id = ?", (gone,)))
        return found

    monkeypatch.setattr(Filter, "best", forget)
    answer = ask("a dog", limit=12, pool=12)
    assert [hit.item.id for hit in answer.hits] == [hit.item.id for hit in whole.hits[1:]]
    assert answer.refined == 11


@pytest.mark.parametrize("pool", [0, 50])
def test_empty_memory_answers_with_nothing(pool: int, ask: Ask) -> None:
    answer = ask("a dog", limit=5, pool=pool)
    assert (list(answer.hits), answer.searched, answer.refined) == ([], 0, 0)


@pytest.mark.usefixtures("twelve")
@pytest.mark.parametrize("question", ["", " ", "dog " * 500, "狗", "\udcff", "'; DROP TABLE items; --"])
def test_any_text_is_a_question(question: str, ask: Ask) -> None:
    answer = ask(question, limit=5, pool=2)
    assert answer.question == question
    assert len(answer.hits) == 5


@pytest.mark.usefixtures("twelve")
def test_same_question_has_the_same_answer(ask: Ask) -> None:
    first, second = (ask("someone outdoors", limit=12, pool=12) for _ in range(2))
    assert first.hits == second.hits


@pytest.mark.usefixtures("twelve")
def test_answer_says_where_its_milliseconds_went(ask: Ask) -> None:
    ask("a dog", limit=5, pool=12)  # interpreters are opened by the first question
    fine, coarse = ask("a dog", limit=5, pool=12), ask("a dog", limit=5, pool=0)
    for answer in (fine, coarse):
        assert min(answer.query_ms, answer.filter_ms, answer.correct_ms) >= 0
        assert answer.query_ms > 0
        assert answer.total_ms == pytest.approx(answer.query_ms + answer.filter_ms + answer.correct_ms)
    assert fine.correct_ms > 10 * coarse.correct_ms  # twelve pictures through the whole tower against none
