"""Who may use a state folder, and what is refused before anything in it changes."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.items import Arrival, Verdict
from edge.memory import Memory
from edge.memory.rows.database import SCHEMA

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
Files = Callable[[Path], list[Path]]
HOLDER = """
import sys
from pathlib import Path
from edge.memory import Memory
from edge.memory.rows.database import SCHEMA
with Memory(Path(sys.argv[1]), "bundle one"):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLDER, str(state)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        try:
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def remember_a_cat(state: Path, keep: Keep) -> Callable[[], None]:
    """Opens the memory, remembers a cat, closes it."""

    def run() -> None:
        with Memory(state, "bundle one") as memory:
            keep(memory, "cat")

    return run


def refusal_of(state: Path) -> str:
    with pytest.raises(StoreError) as caught:
        Memory(state, "bundle one")
    return str(caught.value)


def test_state_folder_is_made_with_its_parents_and_closed_to_others(tmp_path: Path, keep: Keep) -> None:
    state = tmp_path / "deep" / "state"
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat")
        assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_database_of_a_memory_forgets_for_good_and_syncs_fully(state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        assert memory._rows.execute("PRAGMA secure_delete").fetchone() == (1,)
        assert memory._rows.execute("PRAGMA synchronous").fetchone() == (2,)


def test_state_of_another_program_is_refused_and_left_as_it_is(state: Path) -> None:
    state.mkdir()
    with contextlib.closing(sqlite3.connect(state / "memory.db")) as foreign:
        foreign.execute("CREATE TABLE recipes (name TEXT)")
    before = (state / "memory.db").read_bytes()
    assert refusal_of(state) == f"{state / 'memory.db'} is not a memory of reminisce: choose another state folder"
    assert (state / "memory.db").read_bytes() == before


@pytest.mark.parametrize("schema", [1, SCHEMA + 1])
def test_state_of_another_schema_is_refused_and_its_content_is_not_swept(
    schema: int, state: Path, keep: Keep, content_files: Files
) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat")
        memory._rows.execute("DELETE FROM items")  # as if another version kept its rows elsewhere
        memory._rows.execute(f"PRAGMA user_version = {schema}")
    assert refusal_of(state).startswith(f"{state / 'memory.db'} has schema {schema}, this version reads {SCHEMA}: ")
    assert len(content_files(state)) == 1


@pytest.mark.parametrize("lost", ["gone", "empty"])
def test_content_without_its_database_is_refused_and_not_swept(
    state: Path, lost: str, remember_a_cat: Callable[[], None], content_files: Files
) -> None:
    remember_a_cat()
    (state / "memory.db").unlink()
    if lost == "empty":
        (state / "memory.db").touch()
    expected = f"{state} has content but no memory.db: restore it from a backup, or move the folder away"
    assert refusal_of(state) == expected
    assert len(content_files(state)) == 1


def test_folder_whose_first_start_was_killed_is_a_new_memory(state: Path, remember_a_cat: Callable[[], None]) -> None:
    (state / "content").mkdir(parents=True)
    (state / "memory.db").touch()
    remember_a_cat()


def test_database_that_is_damaged_is_refused_with_what_to_do(
    state: Path, remember_a_cat: Callable[[], None], content_files: Files
) -> None:
    remember_a_cat()
    (state / "memory.db").write_bytes(b"x" * 40_000)
    expected = f"{state} cannot be used (file is not a database): restore it from a backup, or move it away"
    assert refusal_of(state) == expected
    assert len(content_files(state)) == 1


def test_damage_that_is_met_while_reading_is_a_store_error_too(
    state: Path, remember_a_cat: Callable[[], None], named: Named
) -> None:
    remember_a_cat()
    with Memory(state, "bundle one") as memory:
        overwrite_all_but_the_first_page(state / "memory.db")
        expected = r"cannot be used \(database disk image is malformed\): restore it from a backup, or move it away"
        with pytest.raises(StoreError, match=expected):
            memory.partitions()
        with pytest.raises(StoreError, match=expected):
            memory.known(named("cat").digest)


def overwrite_all_but_the_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * (path.stat().st_size - 4096))


def test_file_in_place_of_the_folder_is_refused(state: Path) -> None:
    state.touch()
    expected = f"{state} cannot be used (File exists: {state}): correct this, or choose another state folder"
    assert refusal_of(state) == expected


def test_state_in_use_by_another_process_is_refused(state: Path) -> None:
    with held_by_another_process(state):
        expected = f"{state} is in use by another process: stop it, or choose another state folder"
        assert refusal_of(state) == expected


def test_refused_second_process_leaves_the_first_in_possession(state: Path) -> None:
    with held_by_another_process(state):
        refusal_of(state)
        refusal_of(state)


def test_killed_process_holds_the_state_no_longer(state: Path, remember_a_cat: Callable[[], None]) -> None:
    with held_by_another_process(state) as holder:
        holder.kill()
        holder.wait()
        remember_a_cat()


def test_closed_memory_can_be_opened_again_in_the_same_process(remember_a_cat: Callable[[], None]) -> None:
    remember_a_cat()
    remember_a_cat()


def test_refusal_leaves_nothing_open(state: Path, remember_a_cat: Callable[[], None]) -> None:
    remember_a_cat()
    (state / "memory.db").rename(state / "kept.db")
    refusal_of(state)
    (state / "kept.db").rename(state / "memory.db")
    remember_a_cat()
