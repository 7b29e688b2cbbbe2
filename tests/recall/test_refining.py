"""What a question finished need not be finished again: written behind its back, with its activation gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.items import Answer, Embedded, Question, Selection
from edge.memory import Memory
from edge.recall import refining
from edge.recall.refining import Refining
from waiting import wait_until

QUESTION = Question(text="a person outdoors", limit=12)
FIRST = Config(remember=RememberConfig(exit_depth=8))


@pytest.fixture
def engine(
    state: Path, pictures: list[Path], fill: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Twelve pictures that left at the first exit, with their activations; no thread runs."""
    monkeypatch.setattr(refining, "_GATHER_S", 0.05)
    with Engine(FIRST, state) as engine:
        fill(engine, pictures[:12])
        assert engine.memory.tally.exits == {8: 12}
        yield engine


def activations(engine: Engine) -> int:
    assert engine.activations is not None
    return engine.activations.count


def by_item(answer: Answer) -> dict[int, float]:
    return {hit.item.id: hit.score for hit in answer.hits}


def test_second_question_finds_at_the_last_exit_what_the_first_has_finished(engine: Engine) -> None:
    last = engine.bundle.manifest.tower("image").exits[-1].depth
    first = engine.retriever.ask(QUESTION)
    assert (activations(engine), engine.memory.tally.exits) == (12, {8: 12})  # the answer did not wait for it
    assert engine.refining.write() == 12
    assert (activations(engine), engine.memory.tally.exits) == (0, {last: 12})
    assert [path for path in (engine.memory.folder / "activations").rglob("*") if path.is_file()] == []
    calls = engine.compute.time.calls
    second = engine.retriever.ask(QUESTION)
    assert engine.compute.time.calls == calls  # no segment, no head, no text tower
    assert (second.refined, second.searched, second.cut) == (12, 12, False)
    assert by_item(second) == pytest.approx(by_item(first), abs=1e-3)  # float16 on disk
    assert [hit.item.id for hit in second.hits[:3]] == [hit.item.id for hit in first.hits[:3]]
    assert engine.refining.write() == 0


def test_refined_items_are_still_refined_after_a_restart(engine: Engine, state: Path) -> None:
    first = engine.retriever.ask(QUESTION)
    engine.refining.write()
    engine.__exit__(None, None, None)
    with Engine(FIRST, state) as again:
        answer = again.retriever.ask(QUESTION)
        assert by_item(answer) == pytest.approx(by_item(first), abs=1e-3)
        assert activations(again) == 0
        assert {hit.why for hit in answer.hits} == {None}
        assert all(hit.depth == 16 for hit in answer.hits)


def test_thread_writes_by_itself_and_leaving_writes_the_rest(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = []
    engine.start()
    assert engine.questions.ask(QUESTION, answers.append)
    wait_until(lambda: engine.memory.tally.exits == {16: 12})
    monkeypatch.setattr(refining, "_GATHER_S", 600.0)
    with Refining(engine.memory, None, lambda error: pytest.fail(str(error))) as other:
        other.put([Embedded(item=1, depth=99, embedding=np.zeros(8, np.float32))])
    assert engine.memory.tally.exits == {16: 11, 99: 1}


def test_what_crashed_between_commit_and_cache_is_one_file_too_many_until_it_is_met(engine: Engine) -> None:
    engine.retriever.ask(QUESTION)
    with engine.refining._changed:
        finished = list(engine.refining._waiting.values())
    engine.memory.refine(finished)  # and there the process ends
    assert (activations(engine), engine.memory.tally.exits) == (12, {16: 12})
    answer = engine.retriever.ask(QUESTION)
    assert (answer.refined, activations(engine)) == (12, 0)


def test_item_that_is_gone_meanwhile_stays_gone(engine: Engine) -> None:
    engine.retriever.ask(QUESTION)
    engine.memory.forget(Selection(digests=(engine.memory.item(3).digest,)))
    engine.refining.write()
    answer = engine.retriever.ask(QUESTION)
    assert 3 not in by_item(answer)
    assert answer.searched == 11


def test_full_disk_is_said_once_and_questions_go_on(
    engine: Engine,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    wide = np.ones(4_000, np.float32)
    with no_room_for_rows(engine.memory):
        for _ in range(3):
            engine.refining.put([Embedded(item=item, depth=16, embedding=wide) for item in range(1, 13)])
            engine.refining._write_all()
            assert engine.retriever.ask(QUESTION).refined == 12
    (said,) = [one for one in caplog.messages if "finished" in one]
    assert said.startswith("what questions finished is not kept: the disk of ")
    assert engine.memory.tally.exits == {8: 12}
    engine.refining._write_all()  # what the last question finished
    assert engine.memory.tally.exits == {16: 12}


def test_more_than_there_is_room_for_is_left_coarse(engine: Engine) -> None:
    many = [Embedded(item=item, depth=16, embedding=np.zeros(8, np.float32)) for item in range(100_000)]
    engine.refining.put(many)
    engine.refining.put(many)
    assert len(engine.refining._waiting) == refining._MOST
    commits = 0
    while engine.refining.write():
        commits += 1
    assert commits == refining._MOST // refining._GROUP
    assert threading.active_count() < 50
