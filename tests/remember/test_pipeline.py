"""Three threads in a row: none waits for another without need, and nothing is done twice or lost between them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.errors import StoreError
from edge.items import Embedded, Item
from edge.memory import CRASHED_TWICE, Memory
from edge.remember import Elevator, Fixed, Intake, Left
from edge.remember.flights import GROUP
from edge.runtime import Activation, TowerRunner
from told import Told
from waiting import wait_until

Copies = Callable[[int], list[Path]]
Accept = Callable[[list[Path]], object]
BATCH = 4


class Gated(Elevator):
    """The real one; each ride waits for `go_on`, and fails where `faults` says so by its number."""

    def __init__(self, tower: TowerRunner, banks: Banks) -> None:
        super().__init__(tower, Fixed(0), banks)
        self.sizes: list[int] = []
        self.go_on = threading.Semaphore(0)
        self.faults: dict[int, BaseException] = {}

    def ride(self, arrived: Iterable[Activation]) -> list[Left]:
        number, arrived = len(self.sizes), list(arrived)
        self.sizes.append(len(arrived))
        assert self.go_on.acquire(timeout=30)
        if number in self.faults:
            raise self.faults[number]
        return super().ride(arrived)


@pytest.fixture
def gated(image: TowerRunner, banks: Banks) -> Gated:
    return Gated(image, banks)


@pytest.fixture
def stepwise(image: TowerRunner, gated: Gated, memory: Memory, told: Told) -> Intake:
    return Intake(image, gated, memory, BATCH, on_outcome=told.outcome, failed=told.failures.append)


@pytest.fixture
def decoded(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the items whose content was read, in order."""
    seen: list[int] = []
    content = memory.content

    def read(item: Item) -> bytes | None:
        seen.append(item.id)
        return content(item)

    monkeypatch.setattr(memory, "content", read)
    return seen


def test_next_batch_is_decoded_while_one_rides_and_no_more_than_one(
    stepwise: Intake, gated: Gated, decoded: list[int], copies: Copies, accept: Accept, told: Told
) -> None:
    accept(copies(5 * BATCH))
    with stepwise:
        for rides in range(1, 4):
            wait_until(lambda rides=rides: len(decoded) == (rides + 1) * BATCH)  # type: ignore[misc]
            time.sleep(0.1)
            assert (len(decoded), len(gated.sizes)) == ((rides + 1) * BATCH, rides)
            gated.go_on.release()
        gated.go_on.release(2)
        wait_until(lambda: len(told.outcomes) == 5 * BATCH)
    assert decoded == sorted(decoded)


def test_riding_goes_on_while_a_commit_takes_its_time(
    intake: Intake,
    memory: Memory,
    told: Told,
    decoded: list[int],
    copies: Copies,
    accept: Accept,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, may_end = memory.index, threading.Event()

    def slow(batch: Sequence[Embedded]) -> frozenset[int]:
        assert may_end.wait(30)
        return index(batch)

    monkeypatch.setattr(memory, "index", slow)
    accept(copies(2 * GROUP))
    with intake:
        wait_until(lambda: len(decoded) == 2 * GROUP)
        assert told.outcomes == []
        may_end.set()
        wait_until(lambda: len(told.outcomes) == 2 * GROUP)
    assert [outcome.item.id for outcome in told.outcomes] == list(range(1, 2 * GROUP + 1))


def test_items_share_commits_as_long_as_more_are_on_their_way(
    intake: Intake, told: Told, copies: Copies, accept: Accept, commits: list[str]
) -> None:
    accept(copies(2 * GROUP + 6))
    commits.clear()
    with intake:
        wait_until(lambda: len(told.outcomes) == 2 * GROUP + 6)
    assert 3 <= len(commits) <= 6  # more only where a group took longer than it may wait


def test_last_item_on_its_way_waits_for_nobody(
    intake: Intake, told: Told, pictures: list[Path], accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.remember.writing.GATHER_S", 60.0)
    with intake:
        for number in range(3):
            accept(pictures[number : number + 1])
            intake.wake()
            wait_until(lambda number=number: len(told.outcomes) == number + 1, seconds=10)  # type: ignore[misc]


def test_news_at_every_moment_makes_no_item_ride_twice(
    intake: Intake, memory: Memory, told: Told, decoded: list[int], copies: Copies, accept: Accept
) -> None:
    files, chance = copies(60), random.Random(1)  # noqa: S311 - repeatable, not secret
    with intake:
        while files:
            count = chance.randint(1, 5)
            accept(files[:count])
            del files[:count]
            for _ in range(3):
                intake.wake()
                time.sleep(0.005 * chance.random())
        wait_until(lambda: len(told.outcomes) == 60)
    assert Counter(decoded).most_common(1)[0][1] == 1
    assert (memory.tally.waiting, len(decoded)) == (0, 60)


def test_stop_at_any_moment_loses_nothing_and_does_nothing_twice(
    image: TowerRunner, banks: Banks, memory: Memory, told: Told, copies: Copies, accept: Accept
) -> None:
    accept(copies(60))
    chance, lives = random.Random(2), 0  # noqa: S311 - repeatable, not secret
    while memory.tally.waiting:
        elevator = Elevator(image, Fixed(0), banks)
        with Intake(image, elevator, memory, BATCH, on_outcome=told.outcome, failed=told.failures.append):
            time.sleep(0.1 * chance.random() * (1 + lives / 10))  # ever longer: a busy machine gets on, too
        assert {thread.name for thread in threading.enumerate()} & {"decode", "remember", "write"} == set()
        assert len(told.outcomes) == 60 - memory.tally.waiting
        lives += 1
    assert lives > 2
    assert sorted(outcome.item.id for outcome in told.outcomes) == list(range(1, 61))
    assert told.failures == []


@pytest.mark.parametrize("fault", [RuntimeError("a bad file"), StoreError("malformed")], ids=["ride", "store"])
def test_ride_that_fails_is_told_and_leaving_does_not_hang(
    fault: Exception, stepwise: Intake, gated: Gated, memory: Memory, told: Told, copies: Copies, accept: Accept
) -> None:
    accept(copies(6 * BATCH))
    gated.faults[1] = fault
    gated.go_on.release(10)
    with stepwise:
        wait_until(lambda: told.failures)
    assert told.failures == [fault]
    assert len(told.outcomes) == BATCH  # what rode before is written down
    assert memory.tally.waiting == 5 * BATCH


def test_writing_that_fails_is_told_and_leaving_does_not_hang(
    intake: Intake, memory: Memory, told: Told, copies: Copies, accept: Accept
) -> None:
    accept(copies(4 * GROUP))
    memory._rows.execute("PRAGMA query_only = ON")
    with intake:
        wait_until(lambda: told.failures)
        time.sleep(0.2)
    assert [type(failure) for failure in told.failures] == [StoreError]
    assert (told.outcomes, memory.tally.waiting) == ([], 4 * GROUP)


def test_full_disk_makes_nothing_ride_twice(
    intake: Intake,
    memory: Memory,
    told: Told,
    decoded: list[int],
    copies: Copies,
    accept: Accept,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("edge.remember.writing.FULL_S", 0.05)
    accept(copies(GROUP))
    with intake:
        with no_room_for_rows(memory):
            wait_until(lambda: len(caplog.messages) >= 2)
        wait_until(lambda: len(told.outcomes) == GROUP)
    assert decoded == list(range(1, GROUP + 1))


def test_batch_that_takes_more_memory_than_there_is_is_tried_one_by_one_behind_the_others(
    stepwise: Intake, gated: Gated, memory: Memory, told: Told, copies: Copies, accept: Accept
) -> None:
    accept(copies(3 * BATCH))
    gated.faults[0] = MemoryError()
    gated.faults[4] = MemoryError()  # the second of those that ride alone
    gated.go_on.release(20)
    with stepwise:
        wait_until(lambda: len(told.outcomes) == 3 * BATCH)
    assert gated.sizes == [BATCH, BATCH, BATCH, 1, 1, 1, 1]
    rejected = [(outcome.item.id, outcome.reason) for outcome in told.outcomes if outcome.state == "rejected"]
    assert rejected == [(2, CRASHED_TWICE)]
    assert (memory.tally.waiting, memory.tally.rejected) == (0, 1)
    assert told.failures == []
