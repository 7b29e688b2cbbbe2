"""The queue of questions: one last reply each, clients in turn, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.errors import RefusedError, StoreError
from edge.items import Answer, Question
from edge.memory import Memory
from edge.recall import Corrector, Filter, Questions, Retriever
from edge.runtime import TowerRunner
from waiting import wait_until

BOUND = 3


class Held(Retriever):
    """The real one. Can be held before each answer, and made to fail there."""

    def __init__(self, text: TowerRunner, image: TowerRunner, banks: Banks, memory: Memory) -> None:
        super().__init__(
            text,
            image.spec,
            Filter(memory, image.spec, 1_000),
            Corrector(image, memory, banks, batch=4),
            memory,
            pool=2,
        )
        self.began = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.faults: list[Exception] = []

    def ask(self, question: Question, better: Callable[[Answer], None] = lambda _: None) -> Answer:
        self.began += 1
        assert self.go_on.wait(10)
        if self.faults:
            raise self.faults.pop()
        return super().ask(question, better)


@dataclass
class Replies:
    """Every reply, with the name of its question, in order."""

    all: list[tuple[str, Answer | RefusedError]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def to(self, name: str) -> Callable[[Answer | RefusedError], None]:
        def reply(found: Answer | RefusedError) -> None:
            self.threads.add(threading.current_thread().name)
            self.all.append((name, found))

        return reply

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]

    @property
    def codes(self) -> list[str]:
        return [found.code if isinstance(found, RefusedError) else "answered" for _, found in self.all]


@pytest.fixture
def retriever(text: TowerRunner, image: TowerRunner, banks: Banks, memory: Memory) -> Iterator[Held]:
    retriever = Held(text, image, banks, memory)
    yield retriever
    retriever.go_on.set()


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def questions(retriever: Held, failures: list[BaseException]) -> Questions:
    """A queue of BOUND; its thread does not run so far."""
    return Questions(retriever, BOUND, failures.append)


@pytest.fixture
def replies() -> Replies:
    return Replies()


def about(text: str, deadline: float | None = None, client: str = "") -> Question:
    return Question(text=text, limit=5, deadline=deadline, client=client)


def test_question_gets_the_retrievers_answer_in_the_recall_thread(
    questions: Questions,
    retriever: Held,
    replies: Replies,
    pictures: list[Path],
    remember: Callable[..., None],
) -> None:
    remember(pictures[:4])
    expected = retriever.ask(about("a dog"))
    with questions:
        assert questions.ask(about("a dog"), replies.to("one"))
        wait_until(lambda: questions.answered == 1)
    ((_, answer),) = replies.all
    assert isinstance(answer, Answer)
    assert (answer.question, answer.hits, answer.refined) == ("a dog", expected.hits, 2)
    assert replies.threads == {"recall"}


def test_each_question_gets_one_reply_in_the_order_of_asking(questions: Questions, replies: Replies) -> None:
    names = [str(number) for number in range(60)]
    with questions:
        for name in names:
            wait_until(lambda name=name: questions.ask(about(name), replies.to(name)))  # type: ignore[misc]
        wait_until(lambda: len(replies.all) == len(names))
    assert replies.names == names
    assert set(replies.codes) == {"answered"}
    assert questions.answered == len(names)


def test_it_is_quiet_only_while_no_question_waits_or_is_worked_on(
    questions: Questions, retriever: Held, replies: Replies
) -> None:
    assert questions.quiet_s > 0
    retriever.go_on.clear()
    for name in map(str, range(BOUND)):
        assert questions.ask(about(name), replies.to(name))
    assert not questions.ask(about("too many"), replies.to("too many"))
    assert questions.quiet_s == 0
    with questions:
        wait_until(lambda: retriever.began == 1)
        assert questions.quiet_s == 0
        retriever.go_on.set()
        wait_until(lambda: questions.quiet_s > 0)
    assert replies.codes == ["answered"] * BOUND


def test_question_without_room_is_not_taken_and_gets_no_reply(
    questions: Questions, retriever: Held, replies: Replies
) -> None:
    retriever.go_on.clear()
    with questions:
        questions.ask(about("at hand"), replies.to("at hand"))
        wait_until(lambda: retriever.began == 1)
        taken = [questions.ask(about(str(number)), replies.to(str(number))) for number in range(BOUND + 2)]
        assert taken == [True] * BOUND + [False] * 2
        retriever.go_on.set()
        wait_until(lambda: len(replies.all) == BOUND + 1)
        assert questions.ask(about("later"), replies.to("later"))
        wait_until(lambda: len(replies.all) == BOUND + 2)
    assert replies.names == ["at hand", "0", "1", "2", "later"]


def test_clients_take_turns(questions: Questions, retriever: Held, replies: Replies) -> None:
    retriever.go_on.clear()
    with questions:
        questions.ask(about("at hand", client="a"), replies.to("at hand"))
        wait_until(lambda: retriever.began == 1)
        for name in ("a1", "a2", "b1"):
            assert questions.ask(about(name, client=name[0]), replies.to(name))
        retriever.go_on.set()
        wait_until(lambda: len(replies.all) == 4)
    assert replies.names == ["at hand", "a1", "b1", "a2"]


def test_newest_of_the_client_that_asks_most_makes_room_and_is_told_so_at_once(
    questions: Questions, retriever: Held, replies: Replies
) -> None:
    retriever.go_on.clear()
    with questions:
        questions.ask(about("at hand", client="a"), replies.to("at hand"))
        wait_until(lambda: retriever.began == 1)
        for name in ("a1", "a2", "a3"):
            assert questions.ask(about(name, client="a"), replies.to(name))
        assert not questions.ask(about("a4", client="a"), replies.to("a4"))
        assert questions.ask(about("b1", client="b"), replies.to("b1"))
        assert list(zip(replies.names, replies.codes, strict=True)) == [("a3", "busy")]
        retriever.go_on.set()
        wait_until(lambda: len(replies.all) == 5)
    assert replies.names == ["a3", "at hand", "a1", "b1", "a2"]
    assert replies.codes[1:] == ["answered"] * 4
    assert "others want to ask: ask again later" in str(replies.all[0][1])


def test_eight_clients_at_once_are_served_alike(
    retriever: Held, replies: Replies, failures: list[BaseException]
) -> None:
    """One of them asks sixty times as much as the others; none of what was taken is lost."""
    with Questions(retriever, 64, failures.append) as questions:
        retriever.go_on.clear()
        taken = [f"greedy {number}" for number in range(60)]
        for name in taken:
            assert questions.ask(about(name, client="greedy"), replies.to(name))
        others = [f"{client} {number}" for number in range(2) for client in "abcdefg"]
        for name in others:
            assert questions.ask(about(name, client=name[0]), replies.to(name))
        retriever.go_on.set()
        wait_until(lambda: len(replies.all) == len(taken + others))
    assert sorted(replies.names) == sorted(taken + others)
    answered = [name for name, code in zip(replies.names, replies.codes, strict=True) if code == "answered"]
    assert set(others) <= set(answered)
    assert max(answered.index(name) for name in others) <= 1 + 2 * 8
    assert {name.split()[0] for name, code in zip(replies.names, replies.codes, strict=True) if code == "busy"} == {
        "greedy"
    }


def test_stream_has_one_last_reply_and_counts_as_one_answer(
    questions: Questions, replies: Replies, pictures: list[Path], remember: Callable[..., None]
) -> None:
    remember(pictures[:8])
    with questions:
        questions.ask(Question(text="a dog", limit=5, stream=True), replies.to("one"))
        wait_until(lambda: questions.answered == 1)
    answers = [found for _, found in replies.all if isinstance(found, Answer)]
    assert [one.is_final for one in answers] == [False] * (len(answers) - 1) + [True]
    assert len(answers) >= 2


def test_several_askers_get_one_reply_for_each_question_that_was_taken(questions: Questions, replies: Replies) -> None:
    def ask(asker: int) -> list[str]:
        names = [f"{asker} {number}" for number in range(30)]
        return [name for name in names if questions.ask(about(name), replies.to(name))]

    with questions, ThreadPoolExecutor(4) as pool:
        taken = [name for names in pool.map(ask, range(4)) for name in names]
        wait_until(lambda: len(replies.all) == len(taken))
    assert sorted(replies.names) == sorted(taken)


def test_stopping_answers_what_is_at_hand_and_tells_the_others(
    questions: Questions, retriever: Held, replies: Replies
) -> None:
    retriever.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        questions.__enter__()
        for name in ("at hand", "1", "2", "3"):
            wait_until(lambda name=name: questions.ask(about(name), replies.to(name)))  # type: ignore[misc]
        wait_until(lambda: retriever.began == 1)
        leaving = pool.submit(questions.__exit__, None, None, None)  # with the queue full
        wait_until(lambda: questions._stopping)
        assert questions.ask(about("too late"), replies.to("too late"))
        retriever.go_on.set()
        leaving.result(10)
    found = dict(zip(replies.names, replies.codes, strict=True))
    assert found == {"at hand": "answered", **dict.fromkeys(("1", "2", "3", "too late"), "stopping")}
    assert str(dict(replies.all)["1"]) == "the daemon is stopping: ask again in a moment (stopping)"
    assert "recall" not in {thread.name for thread in threading.enumerate()}


def test_question_whose_deadline_passed_before_its_turn_is_expired(
    questions: Questions, retriever: Held, replies: Replies
) -> None:
    retriever.go_on.clear()
    with questions:
        questions.ask(about("at hand"), replies.to("at hand"))
        wait_until(lambda: retriever.began == 1)
        questions.ask(about("short", time.monotonic() + 0.05), replies.to("short"))
        questions.ask(about("long", time.monotonic() + 600), replies.to("long"))
        time.sleep(0.06)
        retriever.go_on.set()
        wait_until(lambda: len(replies.all) == 3)
    assert list(zip(replies.names, replies.codes, strict=True)) == [
        ("at hand", "answered"),
        ("short", "expired"),
        ("long", "answered"),
    ]


def test_error_of_the_memory_is_an_internal_error_and_the_next_question_is_answered(
    questions: Questions,
    retriever: Held,
    replies: Replies,
    failures: list[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    retriever.faults.append(StoreError("/var/lib/reminisce cannot be used"))
    with questions:
        for name in ("one", "two"):
            questions.ask(about("my private question"), replies.to(name))
        wait_until(lambda: len(replies.all) == 2)
    assert replies.codes == ["internal", "answered"]
    # Paths of the device are for its log alone.
    assert str(replies.all[0][1]) == "the memory could not be read: the log of the device says why (internal)"
    assert failures == []
    assert caplog.messages == ["a question could not be answered: /var/lib/reminisce cannot be used"]


def test_mistake_of_ours_ends_the_thread_but_leaves_no_question_without_reply(
    questions: Questions, retriever: Held, replies: Replies, failures: list[BaseException]
) -> None:
    retriever.go_on.clear()
    mistake = ZeroDivisionError()
    retriever.faults.append(mistake)
    with questions:
        for name in ("at hand", "1", "2", "3"):
            wait_until(lambda name=name: questions.ask(about(name), replies.to(name)))  # type: ignore[misc]
        retriever.go_on.set()
        wait_until(lambda: failures)
        assert questions.ask(about("after"), replies.to("after"))
    assert list(zip(replies.names, replies.codes, strict=True)) == [
        ("at hand", "internal"),
        *((name, "stopping") for name in ("1", "2", "3", "after")),
    ]
    assert failures == [mistake]
