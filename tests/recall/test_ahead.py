"""Idle time takes items to the last exit: the likeliest first, and gone at once when somebody wants something."""

from __future__ import annotations

import itertools
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge.config import CacheConfig, Config, RefineAheadConfig, RememberConfig
from edge.engine import Engine, Hooks
from edge.errors import DiskFullError
from edge.items import Arrival, Embedded, Offer, Question, Selection
from edge.memory import Memory, Rows
from edge.power import AHEAD
from edge.recall import Ahead, Allowance, ahead, allowance
from waiting import wait_until

QUESTION = Question(text="a person outdoors", limit=12)
FIRST = RememberConfig(exit_depth=8, min_free_mb=1)
CONFIG = Config(remember=FIRST, refine_ahead=RefineAheadConfig(items_per_hour=100_000, after_s=0))
CALLS = 4  # of an item that left at the first exit: three segments and the head


class Watch:
    """What the engine is at, by its segment calls; something may happen right behind one of them."""

    def __init__(self) -> None:
        self.activities: list[str] = []
        self.told: list[int] = []
        self.behind: dict[int, Callable[[], object]] = {}

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        yield
        self.activities.append(activity)  # not where the call was refused
        if activity == AHEAD and (happens := self.behind.get(self.ran)):
            happens()

    @property
    def ran(self) -> int:
        """Calls of idle time."""
        return self.activities.count(AHEAD)

    def hooks(self) -> Hooks:
        return Hooks(on_ahead=self.told.append, during=self.during, failed=lambda error: pytest.fail(str(error)))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[Path], fill: Callable[[Engine, list[Path]], object]
) -> Path:
    """The state folder of twelve pictures that left at the first exit, with their activations."""
    folder = tmp_path_factory.mktemp("filled") / "state"
    with Engine(CONFIG, folder) as engine:
        fill(engine, pictures[:12])
        assert exits(engine) == {8: 12}
    return folder


@pytest.fixture
def engine(state: Path, filled: Path, watch: Watch) -> Iterator[Engine]:
    """On a copy of it; no thread runs."""
    shutil.copytree(filled, state, dirs_exist_ok=True)
    with Engine(CONFIG, state, watch.hooks()) as engine:
        allow(engine, 100_000)
        yield engine


def refining(engine: Engine) -> Ahead:
    assert engine.ahead is not None
    return engine.ahead


def allow(engine: Engine, per_hour: int) -> None:
    """Of which there is as much as there can be, whenever it is asked."""
    refining(engine)._allowance = Allowance(per_hour, itertools.count(step=3_600.0).__next__)


def exits(engine: Engine) -> dict[int, int]:
    return dict(engine.memory.tally.exits)


def test_question_afterwards_has_nothing_to_finish_and_the_same_answer(engine: Engine, watch: Watch) -> None:
    expected = engine.retriever.ask(QUESTION)
    with engine.refining._changed:
        engine.refining._waiting.clear()  # as if it had not been asked
    assert refining(engine).refine_group() == 12
    assert (exits(engine), watch.told, refining(engine).count) == ({16: 12}, [12], 12)
    assert [path for path in (engine.memory.folder / "activations").rglob("*") if path.is_file()] == []
    calls = engine.compute.time.calls
    answer = engine.retriever.ask(QUESTION)
    assert engine.compute.time.calls == calls
    assert (answer.refined, answer.searched) == (12, 12)
    assert [hit.item.id for hit in answer.hits] == [hit.item.id for hit in expected.hits]
    assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in expected.hits], abs=1e-3)
    assert [hit.relevance for hit in answer.hits] == pytest.approx([hit.relevance for hit in expected.hits], abs=1e-2)


def test_each_item_is_ridden_once_and_its_energy_is_that_of_idle_time(engine: Engine, watch: Watch) -> None:
    while refining(engine).refine_group():
        pass
    assert watch.ran == 12 * CALLS
    assert len(watch.activities) - watch.ran <= 1  # the bank at the last exit, which is made once


def test_likeliest_go_first_and_no_more_than_are_allowed(engine: Engine) -> None:
    engine.memory.sighted([engine.memory.item(3).digest])
    allow(engine, 4)
    assert refining(engine).refine_group() == 4
    assert sorted(int(item) for item in engine.memory.unfinished(16)) == [1, 2, 4, 5, 6, 7, 8, 9]
    allow(engine, 8)
    assert refining(engine).refine_group() == 8
    assert exits(engine) == {16: 12}


def test_many_are_written_a_group_a_commit(engine: Engine, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "GROUP", 5)
    allow(engine, 100_000)
    version = engine.memory.version
    assert [refining(engine).refine_group() for _ in range(4)] == [5, 5, 2, 0]
    assert engine.memory.version == version + 3
    assert watch.told == [5, 5, 2]


def ask(engine: Engine, _arrival: Arrival) -> None:
    assert engine.questions.ask(QUESTION, lambda _: None)


def offer(engine: Engine, arrival: Arrival) -> None:
    assert engine.inbox.offer(Offer(content=arrival.content), lambda _: None)


def accept(engine: Engine, arrival: Arrival) -> None:
    engine.memory.accept([arrival])


def pause(engine: Engine, _arrival: Arrival) -> None:
    engine.intake.pause(paused=True)


def leave(engine: Engine, _arrival: Arrival) -> None:
    refining(engine)._leaving.set()


@pytest.mark.parametrize(
    ("event", "segment"), [(ask, 0), (ask, 1), (ask, 3), (offer, 0), (offer, 2), (accept, 1), (pause, 1), (leave, 1)]
)
def test_no_call_begins_behind_what_somebody_wants_and_what_was_finished_is_kept(
    event: Callable[[Engine, Arrival], None],
    segment: int,
    engine: Engine,
    watch: Watch,
    pictures: list[Path],
    arrival: Callable[[Path], Arrival],
) -> None:
    new = arrival(pictures[13])
    watch.behind[2 * CALLS + segment + 1] = lambda: event(engine, new)
    done = 2 + (segment == CALLS - 1)
    assert refining(engine).refine_group() == done
    assert watch.ran == 2 * CALLS + segment + 1
    assert exits(engine) == {8: 12 - done, 16: done}
    assert refining(engine).refine_group() == 0
    assert watch.ran == 2 * CALLS + segment + 1


def test_it_goes_on_behind_the_answer_with_what_is_left(engine: Engine, watch: Watch) -> None:
    watch.behind[2 * CALLS + 1] = lambda: ask(engine, None)  # type: ignore[arg-type]
    assert refining(engine).refine_group() == 2
    with engine.questions:
        wait_until(lambda: engine.questions.answered == 1)
    while engine.refining.write():
        pass
    assert exits(engine) == {16: 12}  # the question finished the others
    assert refining(engine).refine_group() == 0


def test_it_waits_as_long_as_the_config_says_behind_the_last_question(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine._after_s = 3_600
    assert refining(engine).refine_group() == 0
    monkeypatch.setattr(engine.questions, "_last_at", engine.questions._last_at - 3_600)
    assert refining(engine).refine_group() == 12


def test_nothing_is_looked_for_again_before_something_changes(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    pictures: list[Path],
    fill: Callable[[Engine, list[Path]], object],
) -> None:
    looks: list[int] = []
    whole = engine.memory.unfinished

    def look(depth: int) -> Rows:
        looks.append(depth)
        return whole(depth)

    monkeypatch.setattr(engine.memory, "unfinished", look)
    assert [refining(engine).refine_group() for _ in range(2)] == [12, 0]
    before = len(looks)
    assert [refining(engine).refine_group() for _ in range(5)] == [0, 0, 0, 0, 0]
    assert len(looks) == before
    fill(engine, pictures[12:14])
    assert [refining(engine).refine_group() for _ in range(3)] == [2, 0, 0]
    assert exits(engine) == {16: 14}


def test_what_came_last_goes_before_what_was_planned(
    engine: Engine, pictures: list[Path], fill: Callable[[Engine, list[Path]], object]
) -> None:
    allow(engine, 1)
    assert refining(engine).refine_group() == 1
    fill(engine, pictures[12:13])
    assert refining(engine).refine_group() == 1
    assert 13 not in engine.memory.unfinished(16)


def test_item_without_an_activation_is_left_to_questions(engine: Engine, watch: Watch) -> None:
    assert engine.activations is not None
    engine.activations.remove([2, 5])
    file = next(path for path in (engine.memory.folder / "activations").rglob("7-*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))
    assert refining(engine).refine_group() == 9
    assert refining(engine).refine_group() == 0
    assert sorted(engine.memory.unfinished(16).tolist()) == [2, 5, 7]
    assert watch.ran == 9 * CALLS


def test_item_that_is_forgotten_while_it_is_refined_stays_gone(engine: Engine, watch: Watch) -> None:
    digest = engine.memory.item(12).digest
    watch.behind[2] = lambda: engine.memory.forget(Selection(digests=(digest,)))
    refining(engine).refine_group()
    refining(engine).refine_group()
    assert exits(engine) == {16: 11}
    assert engine.memory.known(digest) is None
    assert 12 not in [hit.item.id for hit in engine.retriever.ask(QUESTION).hits]


def test_full_disk_is_said_once_and_what_was_finished_is_written_later(
    engine: Engine,
    watch: Watch,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(engine.memory._reserve, "give_up", lambda: False)
    monkeypatch.setattr(engine.memory, "refine", _wide(engine.memory))
    with no_room_for_rows(engine.memory):
        for _ in range(3):
            refining(engine)._try()
        with pytest.raises(DiskFullError):
            refining(engine).refine_group()
    (said,) = caplog.messages
    assert said.startswith("nothing can be refined ahead: the disk of ")
    assert exits(engine) == {8: 12}
    assert refining(engine).refine_group() == 12
    assert (exits(engine), watch.ran) == ({16: 12}, 12 * CALLS)  # nothing was run a second time


def _wide(memory: Memory) -> Callable[..., None]:
    """The same embeddings, too long for what is left of any page."""
    return lambda group, whole=memory.refine: whole([_longer(one) for one in group])


def _longer(one: Embedded) -> Embedded:
    return Embedded(item=one.item, depth=one.depth, embedding=np.resize(one.embedding, 4_000), offset=one.offset)


def test_nothing_begins_on_a_disk_with_little_room(engine: Engine, watch: Watch) -> None:
    refining(engine)._halfway.has_room = lambda: False
    assert refining(engine).refine_group() == 0
    assert watch.ran == 0


def threads_called(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_thread_refines_by_itself_and_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_LOOK_S", 0.02)
    engine.start()
    wait_until(lambda: exits(engine) == {16: 12})
    engine.__exit__(None, None, None)
    assert threads_called("ahead") == []


def test_leaving_in_the_middle_keeps_what_was_finished(
    engine: Engine, watch: Watch, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_LOOK_S", 0.02)
    watch.behind[3 * CALLS + 1] = refining(engine)._leaving.set
    engine.start()
    wait_until(lambda: threads_called("ahead") == [])
    engine.__exit__(None, None, None)
    with Engine(CONFIG, state) as again:
        assert exits(again) == {8: 9, 16: 3}
        allow(again, 100_000)
        assert refining(again).refine_group() == 9


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(refine_ahead=RefineAheadConfig(after_s=1)),
        Config(refine_ahead=RefineAheadConfig(items_per_hour=10), cache=CacheConfig(max_mb=0)),
    ],
    ids=["nothing said", "no items", "no cache"],
)
def test_it_is_off_where_nobody_asked_for_it_or_nothing_is_cached(config: Config, state: Path) -> None:
    with Engine(config, state) as engine:
        assert engine.ahead is None
