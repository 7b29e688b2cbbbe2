"""The memory without its network: all parts together, running and ending."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from clocks import Board
from edge.bundle import Model
from edge.config import CacheConfig, Config, ContentConfig, RecallConfig, RememberConfig
from edge.engine import Engine, Hooks, content_limits
from edge.errors import BundleError, RefusedError, StoreError, UsageError
from edge.items import Answer, Floats, Offer, Question
from edge.memory import Limits, Memory
from edge.power import RECALL, REMEMBER
from edge.runtime.compute import _BACKGROUND, _URGENT
from told import Told
from waiting import wait_until

THREADS = {"compute", "decode", "inbox", "recall", "refine", "remember", "write"}


def running() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & THREADS


def hooks_of(told: Told) -> Hooks:
    return Hooks(on_outcome=told.outcome, on_gate=told.gates.append, failed=told.failures.append)


def offer_all(engine: Engine, told: Told, files: list[Path]) -> None:
    for file in files:
        offer = Offer(content=file.read_bytes(), source=str(file))
        wait_until(lambda offer=offer: engine.inbox.offer(offer, told.verdict))  # type: ignore[misc]


def test_offers_become_answers(state: Path, pictures: list[Path]) -> None:
    told, answers = Told(), list[Answer | RefusedError]()
    dog = next(path for path in pictures if path.name == "golden-retriever.jpg")
    with Engine(Config(), state, hooks_of(told)) as engine:
        engine.start()
        offer_all(engine, told, [*pictures[:8], dog])
        wait_until(lambda: len(told.outcomes) == 9)
        engine.questions.ask(Question(text="a dog with its tongue out", limit=3), answers.append)
        wait_until(lambda: answers)
    (answer,) = answers
    assert isinstance(answer, Answer)
    assert (answer.searched, answer.refined, answer.hits[0].item.source) == (9, 9, str(dog))
    assert {verdict.state for verdict in told.verdicts} == {"accepted"}
    assert {11, 16} <= {outcome.depth for outcome in told.outcomes} <= {8, 11, 15, 16}  # the gates let each out
    assert told.threads == {"inbox", "write"}
    assert told.failures == []


def test_question_is_answered_while_items_come_in(state: Path, pictures: list[Path]) -> None:
    told, answers = Told(), list[Answer | RefusedError]()
    with Engine(Config(recall=RecallConfig(pool=2)), state, hooks_of(told)) as engine:
        engine.start()
        offer_all(engine, told, pictures)
        while len(told.outcomes) < len(pictures):
            count = len(answers)
            engine.questions.ask(Question(text="a house", limit=1), answers.append)
            wait_until(lambda count=count: len(answers) > count)  # type: ignore[misc]
    searched = [answer.searched for answer in answers if isinstance(answer, Answer)]
    assert len(searched) == len(answers)
    assert searched == sorted(searched)


def test_leaving_ends_every_thread_and_closes_every_file(
    state: Path, pictures: list[Path], open_below: Callable[[Path], list[str]]
) -> None:
    told = Told()
    with Engine(Config(), state, hooks_of(told)) as engine:
        engine.start()
        assert running() == THREADS
        offer_all(engine, told, pictures[:40])
    assert running() == set()
    assert open_below(state) == []
    with Engine(Config(), state) as engine:  # nothing was lost on the way down
        assert engine.memory.tally.items == len(told.verdicts)
        assert engine.memory.tally.waiting == len(told.verdicts) - len(told.outcomes)


def test_what_the_last_life_left_is_remembered_by_the_next(state: Path, pictures: list[Path]) -> None:
    first, second = Told(), Told()
    with Engine(Config(), state, hooks_of(first)) as engine:
        engine.intake.pause(paused=True)
        engine.start()
        offer_all(engine, first, pictures[:9])
        wait_until(lambda: len(first.verdicts) == 9)
    assert first.outcomes == []
    with Engine(Config(), state, hooks_of(second)) as engine:
        engine.start()
        wait_until(lambda: len(second.outcomes) == 9)


def test_progress_is_called_while_nothing_happens_and_in_the_compute_thread(state: Path) -> None:
    seen: list[str] = []
    hooks = dataclasses.replace(Hooks(), progress=lambda: seen.append(threading.current_thread().name), tick_s=0.01)
    with Engine(Config(), state, hooks):
        wait_until(lambda: len(seen) >= 3)
    assert set(seen) == {"compute"}


def test_inbox_refuses_what_the_image_tower_cannot_take(state: Path) -> None:
    told = Told()
    with Engine(Config(remember=RememberConfig(min_free_mb=0)), state, hooks_of(told)) as engine:
        engine.start()
        engine.inbox.offer(Offer(content=b"Dear diary"), told.verdict)
        wait_until(lambda: told.verdicts)
    assert told.verdicts[0].state == "rejected"


@pytest.mark.parametrize(("max_mb", "min_free_mb", "kept"), [(10, 0, 5), (0, 0, 0), (10, 1_000_000, 0)])
def test_activations_are_kept_where_the_config_and_the_disk_have_room(
    max_mb: int, min_free_mb: int, kept: int, state: Path, pictures: list[Path], fill: Callable[..., object]
) -> None:
    remember = RememberConfig(min_free_mb=min_free_mb, exit_depth=11)  # none leaves at the end, with nothing to keep
    config = Config(remember=remember, cache=CacheConfig(max_mb=max_mb))
    with Engine(config, state) as engine:
        fill(engine, pictures[:5])
        assert (engine.activations.count if engine.activations else 0) == kept
        answer = engine.retriever.ask(Question(text="a house", limit=5))
        assert answer.refined == 5
        assert (engine.activations.hits if engine.activations else 0) == kept


@pytest.mark.parametrize(("cache_mb", "refined"), [(10, 5), (0, 0)])
def test_item_without_content_is_found_and_finished_as_long_as_its_activation_is_kept(
    cache_mb: int, refined: int, state: Path, pictures: list[Path]
) -> None:
    told = Told()
    remember = RememberConfig(min_free_mb=0, exit_depth=11)
    config = Config(remember=remember, cache=CacheConfig(max_mb=cache_mb), content=ContentConfig(max_mb=0))
    with Engine(config, state, hooks_of(told)) as engine:
        engine.start()
        offer_all(engine, told, pictures[:5])
        wait_until(lambda: len(told.outcomes) == 5 and engine.memory.tally.content_bytes == 0)
        assert list((state / "content").glob("*/*")) == []
        answer = engine.retriever.ask(Question(text="a house", limit=5))
    assert (len(answer.hits), answer.refined) == (5, refined)
    assert all(hit.item.evicted for hit in answer.hits)
    assert told.failures == []


def test_limits_of_the_config_are_in_bytes_and_seconds() -> None:
    assert content_limits(Config()) == Limits()
    both = Config(content=ContentConfig(max_mb=2, max_days=3))
    assert content_limits(both) == Limits(max_bytes=2_000_000, max_age_s=259_200.0)


def test_clock_that_jumps_by_years_leaves_questions_and_their_order_as_they_were(
    state: Path, pictures: list[Path], board: Board
) -> None:
    told, answers = Told(), list[Answer | RefusedError]()
    board.boot(5.0)
    with Engine(Config(remember=RememberConfig(min_free_mb=0)), state, hooks_of(told)) as engine:
        engine.start()
        for number, file in enumerate(pictures[:4]):
            if number == 2:
                board.set(1_800_000_000.0)
            board.rest(60)
            offer_all(engine, told, [file])
            wait_until(lambda number=number: len(told.outcomes) > number)  # type: ignore[misc]
        deadline = time.monotonic() + 20
        engine.questions.ask(Question(text="a house", limit=4, sort="time", deadline=deadline), answers.append)
        wait_until(lambda: answers)
        rate = engine.intake.items_per_s()
    (answer,) = answers
    assert isinstance(answer, Answer)
    assert (answer.refined, answer.cut) == (4, False)
    assert [hit.item.source for hit in answer.hits] == [str(file) for file in reversed(pictures[:4])]
    times = [hit.item.added_at for hit in answer.hits]
    assert times == pytest.approx([1_800_000_000.0 + after for after in (120, 60, 0, -60)], abs=1e-3)
    assert 0 < rate <= 4
    assert answer.total_ms < 20_000


def a_folder_without_manifest(config: Config, folder: Path) -> Config:
    (folder / "bundle").mkdir()
    return dataclasses.replace(config, bundle=str(folder / "bundle"))


def a_folder_that_is_not_there(config: Config, folder: Path) -> Config:
    return dataclasses.replace(config, bundle=str(folder / "nowhere"))


def an_exit_that_is_not_there(config: Config, _: Path) -> Config:
    return dataclasses.replace(config, remember=RememberConfig(exit_depth=4))


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (a_folder_without_manifest, BundleError, "is not a bundle: it has no manifest.json"),
        (a_folder_that_is_not_there, UsageError, "bundle: .*nowhere is not a folder"),
        (an_exit_that_is_not_there, UsageError, "remember.exit_depth: no exit at depth 4: there are "),
    ],
)
def test_config_that_cannot_be_used_is_refused_before_anything_is_made(
    wrong: Callable[[Config, Path], Config], error: type[Exception], said: str, tmp_path: Path, state: Path
) -> None:
    with pytest.raises(error, match=said):
        Engine(wrong(Config(), tmp_path), state)
    assert not state.exists()
    assert running() == set()


def test_engine_whose_state_is_in_use_leaves_nothing_open(state: Path, open_below: Callable[[Path], list[str]]) -> None:
    with Memory(state, "another"):
        before = open_below(state)
        with pytest.raises(StoreError, match="is in use by another process"):
            Engine(Config(), state)
        assert open_below(state) == before
    assert running() == set()


def test_engine_that_fails_after_its_thread_started_ends_it(
    state: Path, monkeypatch: pytest.MonkeyPatch, open_below: Callable[[Path], list[str]]
) -> None:
    def fail(*_: object) -> None:
        raise BundleError("a tokenizer that is none")

    monkeypatch.setattr("edge.engine.TowerRunner", fail)
    with pytest.raises(BundleError):
        Engine(Config(), state)
    assert running() == set()
    assert open_below(state) == []


def test_segment_calls_are_told_apart_by_what_they_are_for(state: Path, pictures: list[Path]) -> None:
    told, entered, inside = Told(), list[tuple[str, str]](), set[str]()

    @contextlib.contextmanager
    def during(activity: str) -> Iterator[None]:
        entered.append((activity, threading.current_thread().name))
        inside.add(activity)
        yield
        inside.discard(activity)

    answers = list[Answer | RefusedError]()
    with Engine(Config(), state, dataclasses.replace(hooks_of(told), during=during)) as engine:
        engine.start()
        offer_all(engine, told, pictures[:2])
        wait_until(lambda: len(told.outcomes) == 2)
        assert set(entered) == {(REMEMBER, "remember")}
        engine.questions.ask(Question(text="a house", limit=1), answers.append)
        wait_until(lambda: answers)
    assert set(entered) == {(REMEMBER, "remember"), (RECALL, "recall")}
    assert inside == set()


def test_question_waits_for_the_call_at_hand_and_for_no_other_of_remembering(
    state: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, answers = Told(), list[Answer | RefusedError]()
    begun: list[int] = []  # the priority of each call
    passed: list[int] = []  # for each of a question: calls of remembering that began while it waited
    with Engine(Config(remember=RememberConfig(batch=16)), state, hooks_of(told)) as engine:
        put = engine.compute._put

        def noted(priority: int, work: Callable[[], Floats] | None) -> Future[Floats]:
            before = len(begun)

            def run() -> Floats:
                if priority == _URGENT:
                    passed.append(begun[before:].count(_BACKGROUND))
                begun.append(priority)
                assert work is not None
                return work()

            return put(priority, run if work else None)

        monkeypatch.setattr(engine.compute, "_put", noted)
        engine.start()
        offer_all(engine, told, pictures)
        wait_until(lambda: told.outcomes, "remembering is under way")
        for number in range(4):
            engine.questions.ask(Question(text=f"question {number}", limit=1), answers.append)
            wait_until(lambda number=number: len(answers) > number)  # type: ignore[misc]
        assert engine.memory.tally.waiting, "the questions were to come while items are embedded"
    assert {type(answer) for answer in answers} == {Answer}
    assert len(passed) > 20
    assert max(passed) <= 1  # one that was taken from the queue while the question was put into it
    assert sum(passed) <= len(passed) // 4


def test_deadline_is_kept_within_a_call_while_remembering(
    state: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, answers = Told(), list[Answer | RefusedError]()
    begun: list[list[Model]] = []  # by question, the files of the image tower that it began to run
    deadline = float("inf")
    with Engine(Config(remember=RememberConfig(batch=16)), state, hooks_of(told)) as engine:
        image = engine.bundle.manifest.tower("image")
        of_image = {one.model for one in image.segments} | {one.head for one in image.exits}

        def noted(priority: int, model: Model, inputs: Mapping[str, Floats], *rest: Any) -> Floats:
            if priority == _URGENT and model in of_image:
                begun[-1].append(model)
                time.sleep(max(0.0, deadline - time.monotonic()) + 0.001)  # the first one runs into the deadline
            return in_parts(priority, model, inputs, *rest)

        in_parts = engine.compute._in_parts
        monkeypatch.setattr(engine.compute, "_in_parts", noted)
        engine.start()
        offer_all(engine, told, pictures)
        wait_until(lambda: told.outcomes, "remembering is under way")
        for number in range(4):
            begun.append([])
            deadline = time.monotonic() + 0.5
            engine.questions.ask(Question(text=str(number), limit=5, deadline=deadline), answers.append)
            wait_until(lambda number=number: len(answers) > number)  # type: ignore[misc]
    # On a machine that stood still for so long, a question's turn may come behind its deadline.
    assert {one.code for one in answers if isinstance(one, RefusedError)} <= {"expired"}
    assert any(isinstance(one, Answer) for one in answers)
    assert 1 <= max(map(len, begun)) <= 2  # the segment that began in time, and where it is the last, its head
