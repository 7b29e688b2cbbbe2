"""A segment call of a question for which there is no memory: that one has an error, and the next one its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from edge.config import Config, RememberConfig
from edge.engine import Engine, Hooks
from edge.errors import RefusedError
from edge.items import Answer, Floats, Question
from edge.runtime import Interpreter, Interpreters
from waiting import wait_until

COARSE = Config(remember=RememberConfig(min_free_mb=0, exit_depth=8))


class Starving:
    """Stands before the interpreters: their calls raise MemoryError, in the compute thread, while `left` is not 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        run = Interpreters.run

        def starved(files: Interpreters, interpreter: Interpreter, inputs: Mapping[str, Floats]) -> Floats:
            if self.left:
                self.left -= 1
                raise MemoryError
            return run(files, interpreter, inputs)

        monkeypatch.setattr(Interpreters, "run", starved)


@pytest.fixture
def starving(monkeypatch: pytest.MonkeyPatch) -> Starving:
    return Starving(monkeypatch)


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def engine(
    state: Path, pictures: list[Path], fill: Callable[..., object], failures: list[BaseException], starving: Starving
) -> Iterator[Engine]:
    """Six pictures that left early; all threads run."""
    assert starving.left == 0
    with Engine(COARSE, state, Hooks(failed=failures.append)) as engine:
        fill(engine, pictures[:6])
        engine.start()
        yield engine


def ask(engine: Engine, **fields: object) -> Answer | RefusedError:
    replies: list[Answer | RefusedError] = []
    assert engine.questions.ask(Question(limit=6, **fields), replies.append)  # type: ignore[arg-type]
    wait_until(lambda: replies, "a reply")
    assert len(replies) == 1
    return replies[0]


@pytest.mark.parametrize("asked", ["text", "image", "both"])
def test_question_without_memory_is_answered_with_an_error_and_the_next_one_as_ever(
    engine: Engine, starving: Starving, failures: list[BaseException], pictures: list[Path], asked: str
) -> None:
    question: dict[str, object] = {"text": "a dog"} if asked != "image" else {}
    question |= {"image": pictures[7].read_bytes()} if asked != "text" else {}
    starving.left = 1
    refused = ask(engine, **question)
    assert isinstance(refused, RefusedError)
    assert refused.code == "internal"
    assert refused.message.startswith("the device has not enough memory free for this question: ask again later")
    answer = ask(engine, **question)
    assert isinstance(answer, Answer)
    assert (len(answer.hits), answer.refined) == (6, 6)
    assert failures == []


def test_pool_that_there_is_no_memory_to_finish_costs_one_question_alone(
    engine: Engine, starving: Starving, failures: list[BaseException]
) -> None:
    assert isinstance(ask(engine, text="a dog", refine=False), Answer)  # its embedding is kept: no more text pass
    starving.left = 1
    assert isinstance(ask(engine, text="a dog"), RefusedError)
    answer = ask(engine, text="a dog")
    assert isinstance(answer, Answer)
    assert (answer.refined, failures) == (6, [])


def test_log_says_it_once_however_many_ask(
    engine: Engine, starving: Starving, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            starving.left = 1
            assert isinstance(ask(engine, text=f"dog {number}"), RefusedError)
    assert caplog.messages == ["a question needs more memory than there is: it is answered with an error"]
