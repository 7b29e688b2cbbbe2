"""Index files that are older than the list of what was removed: nothing that they still hold is found again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import IO, cast

import pytest

from edge.memory import InUse, Memory, export, import_memory
from feeds import forget, remember
from indexes import DIMENSION, unit_rows
from removals import erase, found, inodes, listed, open_index, put_back

COUNT = 40
WHOLE = list(range(1, COUNT + 1))
A = InUse(fingerprint="a", dimension=DIMENSION, exits={"image": frozenset({3, 6, 12})}, hashes=())


@pytest.fixture
def old(state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A copy of the index files of a memory that bundle a filled; nothing is said to be damaged in the end."""
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(COUNT))
        open_index(memory)
    caplog.clear()
    return Path(shutil.copytree(state / "index", tmp_path / "old"))


def is_sound(state: Path, whole: list[int]) -> bool:
    """Whether bundle a's own index finds just these, after two restarts, and calls nothing damaged."""
    for _ in range(2):
        with Memory(state, "a") as memory:
            index = open_index(memory)
            if (found(index), index.damaged) != (whole, 0):
                return False
            memory.sweep_indexes()
    return True


def test_files_out_of_a_backup_are_made_anew_without_a_word(
    old: Path, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Memory(state, "a") as memory:
        open_index(memory)
        erase(memory, 1, 2)
        assert listed(memory) == 0
    put_back(old, state / "index")
    assert is_sound(state, WHOLE[2:])
    assert not caplog.records


def test_files_out_of_a_backup_that_lack_nothing_on_the_list_serve_on(old: Path, state: Path) -> None:
    with Memory(state, "a") as memory:
        open_index(memory)
        remember(memory, unit_rows(5, seed=2))
        memory.sweep_indexes()
    put_back(old, state / "index")
    before = inodes(state / "index")
    assert is_sound(state, [*WHOLE, *range(41, 46)])
    assert inodes(state / "index") == before


def test_database_and_files_out_of_one_backup_are_as_they_were(old: Path, state: Path, tmp_path: Path) -> None:
    shutil.copy(state / "memory.db", tmp_path / "memory.db")
    with Memory(state, "a") as memory:
        open_index(memory)
        erase(memory, 1)
    shutil.copy(tmp_path / "memory.db", state / "memory.db")
    assert is_sound(state, WHOLE)  # newer files go
    put_back(old, state / "index")
    before = inodes(state / "index")
    assert is_sound(state, WHOLE)
    assert inodes(state / "index") == before


def test_bundle_that_was_away_comes_back_with_its_files(old: Path, state: Path) -> None:
    with Memory(state, "b") as memory:  # a is on a disk that is not there
        remember(memory, unit_rows(5, seed=2), items=WHOLE[:5])
        open_index(memory)
        memory.sweep_indexes()
        assert (listed(memory), found(open_index(memory))) == (0, WHOLE[:5])
    with Memory(state, "b") as memory:
        put_back(old, state / "index" / "earlier-1")
        index = open_index(memory, memory.origins[0])
        assert (found(index), index.damaged) == (WHOLE[5:], 0)


def test_bundle_that_is_in_use_again_does_not_find_what_another_took_over(old: Path, state: Path) -> None:
    with Memory(state, "b") as memory:
        earlier = open_index(memory, memory.origins[0])
        remember(memory, unit_rows(5, seed=2), items=WHOLE[:5])
        erase(memory, 6)
        assert (listed(memory), found(earlier)) == (0, WHOLE[6:])
    put_back(old, state / "index")
    assert is_sound(state, WHOLE[6:])


def test_export_has_no_list_and_older_files_beside_it_are_made_anew(old: Path, state: Path, tmp_path: Path) -> None:
    with Memory(state, "a") as memory:
        open_index(memory)
        forget(memory, [1])
        export(state, tmp_path / "out.tar", "demo")
        assert listed(memory) == 1  # its own files lack it
    by_hand = tmp_path / "by hand"
    shutil.copytree(old, by_hand / "index")
    with tarfile.open(tmp_path / "out.tar") as tar, (by_hand / "memory.db").open("wb") as file:
        shutil.copyfileobj(cast("IO[bytes]", tar.extractfile("memory.db")), file)
    with Memory(by_hand, "a") as memory:
        assert listed(memory) == 0
    assert is_sound(by_hand, WHOLE[1:])


@pytest.mark.usefixtures("old")
def test_import_takes_no_list_over_and_the_files_of_before_serve_on(state: Path, tmp_path: Path) -> None:
    with Memory(tmp_path / "other", "a") as other:
        for number in range(30):  # a longer past than the memory has that it goes to
            remember(other, unit_rows(1, seed=number))
        open_index(other)
        erase(other, 1)
        export(other.folder, tmp_path / "out.tar", "demo")
        ahead = other.feed().pruned
    with Memory(state, "a") as memory:
        open_index(memory)
        erase(memory, 39, 40)
    before = inodes(state / "index")
    done = import_memory(tmp_path / "out.tar", state, A)  # by their content they are items 2 to 30 of this one
    assert (done.new, done.known) == (0, 29)
    with Memory(state, "a") as memory:
        assert 0 < memory.feed().pruned < ahead
    assert is_sound(state, WHOLE[:38])
    assert inodes(state / "index") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from edge.memory import Memory, forgetting
from edge.memory.rows import transaction
from removals import erase, open_index

state, what, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
prune = forgetting.prune

class Killing:
    # The connection, until the statement of which it is the moment.
    def __init__(self, rows):
        self.rows = rows
    def execute(self, statement, *values):
        if statement.startswith(moment):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.rows.execute(statement, *values)

def until(rows, indexes):
    prune(Killing(rows), indexes)
    if moment == "end":
        os.kill(os.getpid(), signal.SIGKILL)

def committed(rows):
    with transaction.atomic(rows):
        yield
    if rows.execute("SELECT max(pruned) FROM models").fetchone() != (0,):
        os.kill(os.getpid(), signal.SIGKILL)

with Memory(state, sys.argv[4]) as memory:
    open_index(memory)
    forgetting.prune = until
    if moment == "COMMIT":
        forgetting.atomic = __import__("contextlib").contextmanager(committed)
    erase(memory, 1) if what == "forget" else memory.sweep_indexes()
"""


@pytest.mark.parametrize("moment", ["UPDATE", "DELETE", "end", "COMMIT"])
@pytest.mark.parametrize("what", ["forget", "start"])
def test_kill_at_any_moment_brings_nothing_back(what: str, moment: str, old: Path, state: Path) -> None:
    if what == "start":  # bundle b has taken over an item of a, which is away
        with Memory(state, "b") as memory:
            remember(memory, unit_rows(1, seed=2), items=[1])
    here = str(Path(__file__).parents[1])
    program = f"import sys; sys.path.append({here!r})\n{KILLED}"
    bundle = "a" if what == "forget" else "b"
    given = [sys.executable, "-c", program, str(state), what, moment, bundle]
    done = subprocess.run(given, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    if what == "forget":
        put_back(old, state / "index")  # a power cut may bring back what was deleted
        assert is_sound(state, WHOLE[1:])
    with Memory(state, "b") as memory:
        put_back(old, state / "index" / "earlier-1")
        index = open_index(memory, memory.origins[0])
        assert (found(index), index.damaged) == (WHOLE[1:], 0)
