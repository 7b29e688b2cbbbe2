"""A disk that is really full: a tmpfs of a chosen size. Mounting one needs root."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from disks import SIZE, Disk
from edge.config import Config, RememberConfig
from edge.engine import Engine, Hooks
from edge.errors import DiskFullError, RefusedError
from edge.items import Answer, Arrival, Offer, Outcome, Question, Verdict
from edge.memory import RESERVE_BYTES, Limits, Memory
from memories import look_into
from told import Told
from waiting import wait_until

GROUP = 32  # items that are accepted in one commit here, and embedded in one
PAGE = 4096
ROWS_ROOM = 128 << 10  # what the rows of two groups take, and less than half a group of pictures
pytestmark = pytest.mark.slow
MESSAGE = "the disk of {} is full: free some space and run this again; what was reported as accepted is safe"
Fill = Callable[[Engine, Sequence[Path]], list[Verdict]]
UntilFull = Callable[[Engine, list[Path]], tuple[int, DiskFullError]]


def room_for(files: list[Path]) -> int:
    """Bytes of whole pages that the contents of `files` take on a tmpfs."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in files)


def digests(files: Sequence[Path]) -> set[str]:
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def check_that_exactly_these_are_there(state: Path, files: Sequence[Path]) -> None:
    """Rows and content of `files`, and not one file more: also before a start could sweep it."""
    remains = look_into(state)
    remains.check_accepted(digests(files))
    assert remains.records.keys() == remains.content.keys() == digests(files)


def check_that_the_rest_follows(disk: Disk, pictures: list[Path], fill: Fill, before: int) -> None:
    """With room on the disk: what was accepted is known, the rest is accepted, all of it can be asked for."""
    with Engine(Config(), disk.state) as engine:
        states = [verdict.state for verdict in fill(engine, pictures)]
        assert states == ["duplicate"] * before + ["accepted"] * (len(pictures) - before)
        assert engine.retriever.ask(Question(text="a dog", limit=5)).searched == len(pictures)
    look_into(disk.state).check_indexed(digests(pictures))


def give_up_the_reserve(disk: Disk) -> None:
    """And let others take the room that it leaves."""
    free = disk.free
    (disk.state / "reserve").unlink()
    with (disk.folder / "more").open("wb") as more:
        os.posix_fallocate(more.fileno(), 0, disk.free - free)


@pytest.fixture
def accept_until_full(arrival: Callable[[Path], Arrival]) -> Callable[[Engine, list[Path]], tuple[int, DiskFullError]]:
    """Accepts files a group at a time until the disk is full; says how many were, and the error."""

    def run(engine: Engine, files: list[Path]) -> tuple[int, DiskFullError]:
        accepted = 0
        try:
            for accepted in range(0, len(files), GROUP):
                engine.memory.accept([arrival(file) for file in files[accepted : accepted + GROUP]])
        except DiskFullError as error:
            return accepted, error
        pytest.fail("the disk did not fill")

    return run


@pytest.mark.parametrize("groups", [0, 2])
def test_disk_that_fills_with_content_keeps_what_was_accepted_and_nothing_of_the_rest(
    disk: Disk, pictures: list[Path], fill: Fill, accept_until_full: UntilFull, groups: int
) -> None:
    whole, begun = pictures[: groups * GROUP], pictures[groups * GROUP : groups * GROUP + GROUP // 2]
    with Engine(Config(), disk.state) as engine:
        disk.fill_up_to(room_for(whole + begun) + ROWS_ROOM)
        accepted, error = accept_until_full(engine, pictures)
    assert str(error) == MESSAGE.format(disk.state)
    assert error.exit_code == 1
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENOSPC
    assert accepted == len(whole)
    check_that_exactly_these_are_there(disk.state, whole)
    disk.resize(2 * SIZE)
    check_that_the_rest_follows(disk, pictures, fill, len(whole))


@pytest.mark.parametrize("groups", [0, 1])
def test_disk_that_fills_with_rows_keeps_what_was_accepted_and_no_content_without_its_row(
    disk: Disk, pictures: list[Path], fill: Fill, accept_until_full: UntilFull, groups: int
) -> None:
    whole, last = pictures[: groups * GROUP], pictures[groups * GROUP :][:GROUP]
    with Engine(Config(), disk.state) as engine:
        fill(engine, whole)
        disk.fill_up_to(room_for(last) + 2 * PAGE)  # all of the next group's content, and not its rows
        accepted, error = accept_until_full(engine, [*whole, *last])
    assert str(error) == MESSAGE.format(disk.state)
    assert isinstance(error.__cause__, sqlite3.OperationalError)
    assert accepted == len(whole)
    check_that_exactly_these_are_there(disk.state, whole)
    disk.make_room()
    check_that_the_rest_follows(disk, pictures, fill, len(whole))


def test_disk_that_fills_with_embeddings_lets_what_was_accepted_wait_and_be_remembered_by_the_same_engine(
    disk: Disk, pictures: list[Path], arrival: Callable[[Path], Arrival]
) -> None:
    outcomes: list[Outcome] = []
    with Engine(Config(), disk.state, Hooks(on_outcome=outcomes.append)) as engine:
        engine.memory.accept([arrival(file) for file in pictures])
        assert engine.intake.remember_group() == GROUP
        disk.fill_up_to(PAGE)
        give_up_the_reserve(disk)
        with pytest.raises(DiskFullError, match=f"^{re.escape(MESSAGE.format(disk.state))}$"):
            engine.intake.remember_group()
        assert engine.retriever.ask(Question(text="a dog", limit=5)).searched == len(outcomes) == GROUP
        check_that_exactly_these_are_there(disk.state, pictures)
        disk.make_room()
        while engine.intake.remember_group():
            pass
        assert engine.retriever.ask(Question(text="a dog", limit=5)).searched == len(outcomes) == len(pictures)
    look_into(disk.state).check_indexed(digests(pictures))


def test_database_at_its_own_limit_is_a_full_disk_too(
    state: Path,
    pictures: list[Path],
    fill: Fill,
    accept_until_full: UntilFull,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    with Engine(Config(), state) as engine:
        fill(engine, pictures[:GROUP])
        with no_room_for_rows(engine.memory):
            accepted, error = accept_until_full(engine, pictures[GROUP:])
    assert str(error) == MESSAGE.format(state)
    assert accepted == 0
    look_into(state).check_indexed(digests(pictures[:GROUP]))


@pytest.mark.parametrize("min_free_mb", [0, 4])
def test_inbox_that_meets_a_full_disk_says_so_answers_questions_and_goes_on_when_there_is_room(
    disk: Disk, pictures: list[Path], min_free_mb: int
) -> None:
    told = Told()
    hooks = Hooks(on_outcome=told.outcome, on_gate=told.gates.append, failed=told.failures.append)
    config = Config(remember=RememberConfig(min_free_mb=min_free_mb))
    with Engine(config, disk.state, hooks) as engine:
        engine.start()
        disk.fill_up_to(min_free_mb * 1_000_000 + room_for(pictures[: GROUP // 2]))
        offered = 0
        while engine.inbox.gate == "open" and offered < len(pictures):
            offer = Offer(content=pictures[offered].read_bytes(), source=str(pictures[offered]))
            offered += engine.inbox.offer(offer, told.verdict)
            time.sleep(0.001)
        wait_until(lambda: engine.inbox.gate == "disk_full")
        replies: list[Answer | RefusedError] = []
        engine.questions.ask(Question(text="a dog", limit=5), replies.append)
        wait_until(lambda: replies)
        assert isinstance(replies[0], Answer)
        disk.make_room()
        wait_until(lambda: len(told.outcomes) == len(told.verdicts) == offered)
    assert {verdict.state for verdict in told.verdicts} == {"accepted"}
    assert told.gates == ["disk_full", "open"] * (len(told.gates) // 2)  # again, where a smaller group found room
    assert told.failures == []
    look_into(disk.state).check_indexed([verdict.digest.hex() for verdict in told.verdicts if verdict.digest])


def test_embeddings_of_what_was_accepted_are_written_in_the_room_that_was_held_for_them(
    disk: Disk, pictures: list[Path], arrival: Callable[[Path], Arrival], accept_until_full: UntilFull
) -> None:
    with Engine(Config(), disk.state) as engine:
        engine.memory.accept([arrival(file) for file in pictures[:GROUP]])
        disk.fill_up_to(0)
        assert engine.intake.remember_group() == GROUP
        assert not (disk.state / "reserve").exists()
        accepted, error = accept_until_full(engine, pictures[GROUP:])  # the room is not for new ones
        assert (accepted, str(error)) == (0, MESSAGE.format(disk.state))
        assert engine.retriever.ask(Question(text="a dog", limit=5)).searched == GROUP
        disk.make_room()
        engine.memory.accept([arrival(file) for file in pictures[GROUP:]])
        assert (disk.state / "reserve").stat().st_size == RESERVE_BYTES
    look_into(disk.state).check_accepted(digests(pictures))


def test_start_on_a_full_disk_answers_questions_and_accepts_once_there_is_room(
    disk: Disk, pictures: list[Path], fill: Fill
) -> None:
    with Engine(Config(), disk.state) as engine:
        fill(engine, pictures[:GROUP])
    disk.fill_up_to(0)
    told = Told()
    hooks = Hooks(on_outcome=told.outcome, on_gate=told.gates.append, failed=told.failures.append)
    with Engine(Config(remember=RememberConfig(min_free_mb=0)), disk.state, hooks) as engine:
        engine.start()
        engine.inbox.offer(Offer(content=pictures[GROUP].read_bytes()), told.verdict)
        wait_until(lambda: engine.inbox.gate == "disk_full")
        replies: list[Answer | RefusedError] = []
        engine.questions.ask(Question(text="a dog", limit=5), replies.append)
        wait_until(lambda: replies)
        assert isinstance(replies[0], Answer)
        assert replies[0].searched == GROUP
        assert told.verdicts == []
        disk.make_room()
        wait_until(lambda: told.outcomes)
    assert (told.gates, told.failures) == (["disk_full", "open"], [])
    look_into(disk.state).check_indexed(digests(pictures[: GROUP + 1]))


def test_content_is_evicted_on_a_full_disk_and_makes_room(disk: Disk, pictures: list[Path], fill: Fill) -> None:
    with Engine(Config(), disk.state) as engine:
        fill(engine, pictures[:GROUP])
        disk.fill_up_to(0)
        engine.memory.evict(Limits(max_bytes=0))
        assert engine.memory.tally.content_bytes == 0
        assert disk.free >= room_for(pictures[:GROUP])
        assert engine.retriever.ask(Question(text="a dog", limit=5)).searched == GROUP


def test_disk_without_any_room_is_called_full_and_not_broken(disk: Disk, pictures: list[Path], fill: Fill) -> None:
    with Engine(Config(), disk.state) as engine:
        fill(engine, pictures[:GROUP])
    disk.fill_up_to(0)
    give_up_the_reserve(disk)
    with pytest.raises(DiskFullError, match=f"^{re.escape(MESSAGE.format(disk.state))}$"):
        Engine(Config(), disk.state)
    disk.make_room()
    check_that_the_rest_follows(disk, pictures, fill, GROUP)


def test_first_start_on_a_full_disk_says_so_and_the_next_one_works(
    disk: Disk, pictures: list[Path], fill: Fill
) -> None:
    disk.fill_up_to(0)
    with pytest.raises(DiskFullError, match=f"^{re.escape(MESSAGE.format(disk.state))}$"):
        Engine(Config(), disk.state)
    disk.make_room()
    check_that_the_rest_follows(disk, pictures, fill, 0)
