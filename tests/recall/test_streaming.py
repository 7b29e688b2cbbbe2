"""Better and better answers: the coarse one at once, not too many in between, the last one last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.items import Answer, Hit, Item, Question
from edge.memory import Memory
from edge.memory.cache.demand import source_of
from edge.recall import Corrector, Filter, Retriever
from edge.recall.streaming import EVERY_S, Stream
from edge.runtime import TowerRunner

NEVER = 1_000_000


def found(score: float) -> Answer:
    item = Item(id=1, digest=bytes(32), modality="image", source="", bytes=1, added_at=1.0, taken_at=None)
    hits = (Hit(item, 3, score),)
    return Answer(question="q", hits=hits, searched=1, refined=0, cut=False, query_ms=0, filter_ms=0, correct_ms=0)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_first_is_sent_at_once_and_the_next_not_before_its_time() -> None:
    clock, sent = Clock(), list[Answer]()
    stream = Stream(sent.append, clock)
    for after_s in (0.0, 0.5 * EVERY_S, 0.4 * EVERY_S, 0.2 * EVERY_S, 0.9 * EVERY_S):
        clock.now += after_s
        stream.better(lambda: found(clock.now))
    assert [one.hits[0].score for one in sent] == pytest.approx([100, 100 + 1.1 * EVERY_S])
    assert [(one.sequence, one.is_final) for one in sent] == [(0, False), (1, False)]
    last = stream.final(found(9.0))
    assert (last.sequence, last.is_final, last.hits) == (2, True, found(9.0).hits)
    assert len(sent) == 2  # whoever asked sends the last one


def test_what_is_not_sent_is_not_made() -> None:
    clock = Clock()
    stream = Stream(lambda _: None, clock)
    stream.better(lambda: found(1.0))
    stream.better(lambda: pytest.fail("it is too early"))


def test_same_hits_are_not_sent_again() -> None:
    clock, sent = Clock(), list[Answer]()
    stream = Stream(sent.append, clock)
    for score, refined in ((1.0, 0), (1.0, 5), (2.0, 6)):
        clock.now += EVERY_S
        stream.better(lambda: replace(found(score), refined=refined))  # noqa: B023 - called at once
    assert [one.refined for one in sent] == [0, 6]


@pytest.fixture
def retriever(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory) -> Retriever:
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(image, memory, banks, batch=2)
    return Retriever(text, image.spec, filtering, corrector, memory, pool=12)


def test_stream_of_a_question_begins_coarse_and_ends_as_the_answer_without_it(
    retriever: Retriever, pictures: list[Path], remember: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.recall.streaming.EVERY_S", 0.0)
    remember(pictures[:12])
    question = Question(text="a dog", limit=5)
    sent: list[Answer] = []
    last = retriever.ask(replace(question, stream=True), sent.append)
    coarse, whole = retriever.ask(replace(question, refine=False)), retriever.ask(question)
    assert sent[0].hits == coarse.hits
    assert last.hits == whole.hits
    assert (whole.sequence, whole.is_final) == (None, True)
    assert [one.sequence for one in (*sent, last)] == list(range(len(sent) + 1))
    assert [one.is_final for one in (*sent, last)] == [False] * len(sent) + [True]
    refined = [one.refined for one in (*sent, last)]
    assert (refined[0], refined[-1]) == (0, 12)
    assert refined == sorted(refined)
    assert len(set(refined)) > 3


def test_each_question_counts_once_for_the_sources_of_its_last_answer_however_many_came_before(
    retriever: Retriever,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.recall.streaming.EVERY_S", 0.0)
    remember(pictures[:12])
    sent: list[Answer] = []
    last = retriever.ask(Question(text="a dog", limit=5, stream=True), sent.append)
    assert len(sent) > 1
    assert memory.demand.pending().keys() == {source_of(hit.item.source) for hit in last.hits}
    assert sum(memory.demand.pending().values()) == pytest.approx(1.0)
    retriever.ask(Question(text="a dog", limit=1))
    assert sum(memory.demand.pending().values()) == pytest.approx(2.0)


def test_question_that_does_not_stream_sends_nothing_before_its_answer(
    retriever: Retriever, pictures: list[Path], remember: Callable[..., None]
) -> None:
    remember(pictures[:3])
    assert retriever.ask(Question(text="a dog", limit=5), lambda _: pytest.fail("sent")).refined == 3


@pytest.mark.parametrize("more", [{"refine": False}, {"deadline": 0.0}])
def test_stream_that_can_refine_nothing_still_ends(
    retriever: Retriever, pictures: list[Path], remember: Callable[..., None], more: dict[str, float]
) -> None:
    remember(pictures[:3])
    sent: list[Answer] = []
    if "deadline" in more:
        more = {"deadline": time.monotonic()}
    last = retriever.ask(Question(text="a dog", limit=5, stream=True, **more), sent.append)  # type: ignore[arg-type]
    assert last.is_final
    assert len(last.hits) == 3
    assert last.sequence == len(sent) <= 1


def test_stream_over_an_empty_memory_is_one_empty_answer(retriever: Retriever) -> None:
    last = retriever.ask(Question(text="a dog", limit=5, stream=True), lambda _: pytest.fail("sent"))
    assert (last.hits, last.sequence, last.is_final) == ((), 0, True)
