"""Remembering in its own thread: when it works, when it rests, and what it leaves when it is stopped."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Bundle
from edge.errors import StoreError
from edge.items import Item
from edge.memory import Memory
from edge.remember import Elevator, Fixed, Intake, Left
from edge.remember.flights import GROUP
from edge.remember.writing import FULL_S
from edge.runtime import Activation, TowerRunner
from told import Told
from waiting import wait_until

Copies = Callable[[int], list[Path]]
BATCH = 8


class Held(Elevator):
    """The real one, held at the start of each ride until `go_on` lets one pass."""

    def __init__(self, tower: TowerRunner, banks: Banks) -> None:
        super().__init__(tower, Fixed(0), banks)
        self.rides = 0
        self.go_on = threading.Semaphore(0)

    def ride(self, arrived: Iterable[Activation]) -> list[Left]:
        self.rides += 1
        assert self.go_on.acquire(timeout=10)
        return super().ride(arrived)


@pytest.fixture
def held(image: TowerRunner, banks: Banks) -> Held:
    return Held(image, banks)


@pytest.fixture
def stepwise(image: TowerRunner, held: Held, memory: Memory, told: Told) -> Intake:
    """One that waits before each batch for `held.go_on`."""
    return Intake(image, held, memory, BATCH, on_outcome=told.outcome, failed=told.failures.append)


def test_what_waited_before_the_start_is_remembered_all_of_it(
    intake: Intake, memory: Memory, told: Told, copies: Copies, accept: Callable[..., None]
) -> None:
    accept(copies(GROUP + 5))
    with intake:
        wait_until(lambda: len(told.outcomes) == GROUP + 5)
    assert memory.tally.waiting == 0
    assert told.threads == {"write"}
    assert told.failures == []


def test_what_comes_later_is_remembered_once_it_is_told(
    intake: Intake, memory: Memory, told: Told, pictures: list[Path], accept: Callable[..., None]
) -> None:
    with intake:
        wait_until(lambda: not intake._news)
        for number in range(3):
            accept(pictures[number : number + 1])
            intake.wake()
            wait_until(lambda number=number: len(told.outcomes) == number + 1)  # type: ignore[misc]
    assert (memory.tally.items, memory.tally.waiting) == (3, 0)


def test_nothing_is_remembered_nor_looked_for_while_it_is_paused_and_everything_after(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    waiting = memory.waiting

    def look(count: int) -> list[Item]:
        looked.append(count)
        return waiting(count)

    monkeypatch.setattr(memory, "waiting", look)
    intake.pause(paused=True)
    accept(pictures[:3])
    with intake:
        intake.wake()
        assert intake.paused
        time.sleep(0.2)
        assert (looked, told.outcomes, memory.tally.waiting) == ([], [], 3)
        intake.pause(paused=False)
        assert not intake.paused
        wait_until(lambda: len(told.outcomes) == 3)


def test_pause_stops_after_the_batch_at_hand_and_keeps_what_is_done(
    stepwise: Intake, held: Held, memory: Memory, told: Told, copies: Copies, accept: Callable[..., None]
) -> None:
    accept(copies(GROUP))
    with stepwise:
        held.go_on.release()
        wait_until(lambda: held.rides == 2)
        stepwise.pause(paused=True)
        held.go_on.release()
        wait_until(lambda: len(told.outcomes) == 2 * BATCH)
        assert (held.rides, memory.tally.waiting) == (2, GROUP - 2 * BATCH)
        held.go_on.release(10)
        stepwise.pause(paused=False)
        wait_until(lambda: len(told.outcomes) == GROUP)
    assert memory.tally.waiting == 0


def test_stopping_keeps_the_batches_that_are_done_and_leaves_the_rest_waiting(
    stepwise: Intake,
    held: Held,
    told: Told,
    memory: Memory,
    copies: Copies,
    accept: Callable[..., None],
    bundle: Bundle,
    image: TowerRunner,
    banks: Banks,
) -> None:
    accept(copies(GROUP))
    with stepwise:
        held.go_on.release()
        wait_until(lambda: held.rides == 2)
        stopping = threading.Thread(target=stepwise._stop)
        stopping.start()
        stopping.join()
        held.go_on.release()
    assert "remember" not in {thread.name for thread in threading.enumerate()}
    assert (len(told.outcomes), memory.tally.waiting, held.rides) == (2 * BATCH, GROUP - 2 * BATCH, 2)
    memory.__exit__(None, None, None)
    with Memory(memory.folder, bundle.fingerprint) as again:
        with Intake(
            image, Elevator(image, Fixed(0), banks), again, BATCH, on_outcome=told.outcome, failed=told.failures.append
        ):
            wait_until(lambda: len(told.outcomes) == GROUP)
        assert sorted(outcome.item.id for outcome in told.outcomes) == list(range(1, GROUP + 1))
        assert again.tally.waiting == 0


def test_full_disk_lets_it_rest_and_go_on_when_there_is_room(
    intake: Intake,
    memory: Memory,
    told: Told,
    copies: Copies,
    accept: Callable[..., None],
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("edge.remember.writing.FULL_S", 0.05)
    monkeypatch.setattr("edge.remember.intake.FULL_S", 0.05)
    accept(copies(GROUP))
    with intake:
        with no_room_for_rows(memory):
            wait_until(lambda: len(caplog.messages) >= 2)
            assert (told.outcomes, memory.tally.waiting) == ([], GROUP)
        wait_until(lambda: len(told.outcomes) == GROUP)
    assert {outcome.state for outcome in told.outcomes} == {"indexed"}
    assert told.failures == []


def test_stopping_does_not_wait_for_the_rest_to_end(
    intake: Intake,
    memory: Memory,
    copies: Copies,
    accept: Callable[..., None],
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    accept(copies(GROUP))
    with no_room_for_rows(memory), intake:
        wait_until(lambda: caplog.messages)
        began = time.monotonic()
    assert time.monotonic() - began < FULL_S / 2
    assert memory.tally.waiting == GROUP


def test_item_that_cannot_be_read_for_a_moment_waits_until_it_can(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    unreadable: Callable[[Exception], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("edge.remember.writing.FULL_S", 0.05)
    monkeypatch.setattr("edge.remember.intake.FULL_S", 0.05)
    with intake:
        with unreadable(OSError(errno.EMFILE, "Too many open files")):
            accept(pictures[:3])
            intake.wake()
            wait_until(lambda: len(caplog.messages) >= 2)
            assert (told.outcomes, memory.tally.waiting, memory.tally.rejected) == ([], 3, 0)
        wait_until(lambda: len(told.outcomes) == 3)
    assert {outcome.state for outcome in told.outcomes} == {"indexed"}
    assert told.failures == []


@pytest.mark.timeout(60)
def test_database_that_fails_while_content_is_read_ends_the_thread(
    intake: Intake,
    memory: Memory,
    told: Told,
    pictures: list[Path],
    accept: Callable[..., None],
    unreadable: Callable[[Exception], AbstractContextManager[None]],
) -> None:
    accept(pictures[:1])
    with unreadable(sqlite3.DatabaseError("malformed")), intake:
        wait_until(lambda: told.failures)
    assert isinstance(told.failures[0], StoreError)
    assert "malformed" in str(told.failures[0])
    assert (told.outcomes, memory.tally.waiting) == ([], 1)


@pytest.mark.timeout(60)
def test_error_of_the_memory_reaches_whoever_runs_it(
    intake: Intake, memory: Memory, told: Told, pictures: list[Path], accept: Callable[..., None]
) -> None:
    accept(pictures[:3])
    memory._rows.execute("PRAGMA query_only = ON")
    with intake:
        wait_until(lambda: told.failures)
    assert isinstance(told.failures[0], StoreError)
    assert "attempt to write a readonly database" in str(told.failures[0])
    assert (told.outcomes, memory.tally.waiting) == ([], 3)
