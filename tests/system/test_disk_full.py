"""A disk that is really full: a tmpfs of a chosen size. Mounting one needs root."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.config import Config
from edge.engine import Engine
from edge.errors import DiskFullError
from edge.memory import Memory
from edge.remember import Outcome
from edge.remember.intake import GROUP

PAGE = 4096
ROWS_ROOM = 128 << 10  # what the rows of two groups take, and less than half a group of pictures
PLENTY = 64 << 20
pytestmark = pytest.mark.slow
MESSAGE = "the disk of {} is full: free some space and run this again; what was reported as remembered is safe"


@dataclass(frozen=True)
class Disk:
    """A file system of its own at `folder`."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)  # noqa: S607 - mount of the system

    def fill_up_to(self, free: int) -> None:
        """Leave `free` bytes, which another program's file does not take."""
        status = os.statvfs(self.folder)
        with (self.folder / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, status.f_bavail * status.f_frsize - free)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of our own to fill: {done.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - umount of the system


def room_for(files: list[Path]) -> int:
    """Bytes of whole pages that the contents of `files` take on a tmpfs."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in files)


def remember_until_full(engine: Engine, files: list[Path]) -> tuple[list[Outcome], DiskFullError]:
    """The outcomes that were yielded before the disk was full, and the error."""
    outcomes: list[Outcome] = []
    try:
        for outcome in engine.remember(files):
            outcomes.append(outcome)  # noqa: PERF402 - what was yielded before the error is the point
    except DiskFullError as error:
        return outcomes, error
    pytest.fail("the disk did not fill")


def digests(files: list[Path]) -> set[str]:
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def check_that_exactly_these_are_there(state: Path, fingerprint: str, files: list[Path]) -> None:
    """Rows, content and embeddings of `files`, and not one file more: also before a start could sweep it."""
    on_disk = {path.name for path in (state / "content").rglob("*") if path.is_file()}
    assert on_disk == digests(files)
    with Memory(state, fingerprint) as memory:
        items = [memory.item(number) for part in memory.partitions() for number in part.ids.tolist()]
        assert sorted(item.digest.hex() for item in items) == sorted(digests(files))
        for item in items:
            assert hashlib.sha256(memory.content(item) or b"").digest() == item.digest


def check_that_the_rest_follows(disk: Disk, files: list[Path], before: int) -> None:
    """With room on the disk: what was reported is known, the rest is remembered, and all of it can be asked for."""
    with Engine(Config(), disk.state) as engine:
        outcomes = list(engine.remember(files))
        assert [outcome.state for outcome in outcomes] == ["known"] * before + ["remembered"] * (len(files) - before)
        assert engine.ask("a dog").searched == len(files)
    check_that_exactly_these_are_there(disk.state, engine.bundle.fingerprint, files)


@pytest.mark.parametrize("groups", [0, 2])
def test_disk_that_fills_with_content_keeps_what_was_reported_and_nothing_of_the_rest(
    disk: Disk, pictures: list[Path], groups: int
) -> None:
    whole, begun = pictures[: groups * GROUP], pictures[groups * GROUP : groups * GROUP + GROUP // 2]
    with Engine(Config(), disk.state) as engine:
        disk.fill_up_to(room_for(whole + begun) + ROWS_ROOM)
        outcomes, error = remember_until_full(engine, pictures)
    assert str(error) == MESSAGE.format(disk.state)
    assert error.exit_code == 1
    assert isinstance(error.__cause__, OSError)
    assert error.__cause__.errno == errno.ENOSPC
    assert [(outcome.source, outcome.state) for outcome in outcomes] == [(file, "remembered") for file in whole]
    check_that_exactly_these_are_there(disk.state, engine.bundle.fingerprint, whole)
    disk.resize(2 * PLENTY)
    check_that_the_rest_follows(disk, pictures, len(whole))


@pytest.mark.parametrize("groups", [0, 1])
def test_disk_that_fills_with_rows_keeps_what_was_reported_and_no_content_without_its_row(
    disk: Disk, pictures: list[Path], groups: int
) -> None:
    whole, last = pictures[: groups * GROUP], pictures[groups * GROUP :][:GROUP]
    with Engine(Config(), disk.state) as engine:
        list(engine.remember(whole))
        disk.fill_up_to(room_for(last) + 2 * PAGE)  # all of the next group's content, and not its rows
        outcomes, error = remember_until_full(engine, pictures)
    assert str(error) == MESSAGE.format(disk.state)
    assert isinstance(error.__cause__, sqlite3.OperationalError)
    assert [(outcome.source, outcome.state) for outcome in outcomes] == [(file, "known") for file in whole]
    check_that_exactly_these_are_there(disk.state, engine.bundle.fingerprint, whole)
    (disk.folder / "ballast").unlink()
    check_that_the_rest_follows(disk, pictures, len(whole))


def test_database_at_its_own_limit_is_a_full_disk_too(tmp_path: Path, pictures: list[Path]) -> None:
    state = tmp_path / "state"
    with Engine(Config(), state) as engine:
        list(engine.remember(pictures[:GROUP]))
        (pages,) = engine.memory._rows.execute("PRAGMA page_count").fetchone()
        engine.memory._rows.execute(f"PRAGMA max_page_count = {pages + 2}")
        outcomes, error = remember_until_full(engine, pictures)
    assert str(error) == MESSAGE.format(state)
    assert {outcome.state for outcome in outcomes} == {"known"}
    check_that_exactly_these_are_there(state, engine.bundle.fingerprint, pictures[:GROUP])


def test_engine_that_met_a_full_disk_goes_on_once_there_is_room(disk: Disk, pictures: list[Path]) -> None:
    files = pictures[: GROUP * 2]
    with Engine(Config(), disk.state) as engine:
        disk.fill_up_to(room_for(files[:GROUP]) + ROWS_ROOM)
        remember_until_full(engine, files)
        assert engine.ask("a dog").searched == GROUP
        (disk.folder / "ballast").unlink()
        outcomes = list(engine.remember(files))
        assert [outcome.state for outcome in outcomes] == ["known"] * GROUP + ["remembered"] * GROUP
        assert engine.ask("a dog").searched == GROUP * 2


def test_disk_without_any_room_is_called_full_and_not_broken(disk: Disk, pictures: list[Path]) -> None:
    with Engine(Config(), disk.state) as engine:
        list(engine.remember(pictures[:GROUP]))
    disk.fill_up_to(0)
    with pytest.raises(DiskFullError, match=f"^{re.escape(MESSAGE.format(disk.state))}$"):
        Engine(Config(), disk.state)
    (disk.folder / "ballast").unlink()
    check_that_the_rest_follows(disk, pictures, GROUP)


def test_first_start_on_a_full_disk_says_so_and_the_next_one_works(disk: Disk, pictures: list[Path]) -> None:
    disk.fill_up_to(0)
    with pytest.raises(DiskFullError, match=f"^{re.escape(MESSAGE.format(disk.state))}$"):
        Engine(Config(), disk.state)
    (disk.folder / "ballast").unlink()
    check_that_the_rest_follows(disk, pictures, 0)
