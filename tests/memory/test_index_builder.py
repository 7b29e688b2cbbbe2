"""New files are made by a process of their own; it is killed, starved and fed damaged files here."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from disks import Disk
from edge.memory import Memory
from edge.memory.index import Limits, MemoryIndex, following, forest
from edge.memory.index.forest import annoy_is_installed
from feeds import forget, remember
from indexes import by_hand, folders, index_over, settle, unit_rows

needs_annoy = pytest.mark.skipif(not annoy_is_installed(), reason="annoy is not installed")
QUERIES = unit_rows(20, seed=2)
ROWS = 2_000
FORESTS = Limits(forest_from=1_500, shortest_tail=300, longest_tail=2_000)


@pytest.fixture
def memory(state: Path) -> Iterator[Memory]:
    """An open memory with items enough for a forest."""
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(ROWS))
        yield memory


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_RETRY_S", 0)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forests are asked from some hundred rows on, not from a hundred thousand."""
    monkeypatch.setattr(forest, "_SEARCHED", 400)
    monkeypatch.setattr(forest, "_TREES", 4)
    monkeypatch.setattr(forest, "_CANDIDATES", 40)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until
        time.sleep(0.002)


def is_exact(memory: Memory, index: MemoryIndex) -> bool:
    return all(index.search(3, query, 10).ids.tolist() == by_hand(memory, 3, query, 10).tolist() for query in QUERIES)


def recall(memory: Memory, index: MemoryIndex) -> float:
    found = [
        len(set(index.search(3, query, 10).ids.tolist()) & set(by_hand(memory, 3, query, 10).tolist()))
        for query in QUERIES
    ]
    return sum(found) / (10 * len(QUERIES))


@needs_annoy
@pytest.mark.usefixtures("few_are_many")
def test_a_forest_is_grown_beside_the_questions_and_finds_most(memory: Memory) -> None:
    with index_over(memory, limits=FORESTS) as index:
        index.follow()
        assert is_exact(memory, index)
        settle(index)
        assert (memory.folder / "index" / folders(memory)[0] / "forest").is_file()
        assert 0.6 < recall(memory, index) < 1.0  # random rows are the hardest there are; exact would be 1


@needs_annoy
@pytest.mark.usefixtures("few_are_many")
def test_a_forest_its_tail_and_its_tombstones_are_one_index(memory: Memory) -> None:
    with index_over(memory, limits=FORESTS) as index:
        settle(index)
        best = index.search(3, QUERIES[0], 3).ids.tolist()
        forget(memory, best)
        (new,) = remember(memory, QUERIES[:1])
        index.follow()
        found = index.search(3, QUERIES[0], 10)
        assert found.ids[0] == new
        assert found.scores[0] == pytest.approx(1, abs=1e-3)
        assert not set(best) & set(found.ids.tolist())
        assert len(found.ids) == 10


@needs_annoy
@pytest.mark.usefixtures("few_are_many")
def test_a_forest_counts_the_offsets(state: Path) -> None:
    lifted = np.where(np.arange(ROWS) % 100 == 0, 3.0, 0.0)
    with Memory(state, "a") as memory, index_over(memory, limits=FORESTS) as index:
        remember(memory, unit_rows(ROWS), 3, lifted)
        settle(index)
        found = index.search(3, QUERIES[0], 10).ids
        assert {int(item) % 100 for item in found} == {1}  # ids count from 1
        np.testing.assert_array_equal(found, by_hand(memory, 3, QUERIES[0], 10))


@needs_annoy
@pytest.mark.usefixtures("few_are_many")
def test_a_reopened_forest_answers_the_same(memory: Memory) -> None:
    with index_over(memory, limits=FORESTS) as index:
        settle(index)
        before = [index.search(3, query, 10) for query in QUERIES]
    with index_over(memory, limits=FORESTS) as index:
        for query, found in zip(QUERIES, before, strict=True):
            again = index.search(3, query, 10)
            np.testing.assert_array_equal(again.ids, found.ids)
            np.testing.assert_array_equal(again.scores, found.scores)


def test_a_quarter_of_tombstones_makes_the_files_anew(memory: Memory) -> None:
    with index_over(memory) as index:
        settle(index)
        before = folders(memory)
        forget(memory, range(1, ROWS // 4))
        settle(index)
        assert folders(memory) == before
        forget(memory, [ROWS // 4])
        settle(index)
        (folder,) = folders(memory)
        assert folder != before[0]
        ids = np.fromfile(memory.folder / "index" / folder / "ids", "<i8")
        assert ids.tolist() == list(range(ROWS // 4 + 1, ROWS + 1))
        assert is_exact(memory, index)


def test_what_changes_while_files_are_made_is_kept(memory: Memory) -> None:
    with index_over(memory) as index:
        index.follow()
        remember(memory, unit_rows(900, seed=3))  # due
        index.follow()
        pid = index.builder_pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        forget(memory, [1, 2, 2_500])
        remember(memory, unit_rows(50, seed=4), items=range(100, 150))
        remember(memory, unit_rows(50, seed=5), depth=6, items=range(200, 250))
        index.follow()
        assert is_exact(memory, index)
        os.kill(pid, signal.SIGCONT)
        settle(index)
        assert is_exact(memory, index)
        assert len(index) == ROWS + 897


@needs_annoy
@pytest.mark.parametrize("at", ["", "codes", "forest"])
def test_a_killed_builder_costs_nothing_but_its_work(memory: Memory, at: str, caplog: pytest.LogCaptureFixture) -> None:
    with index_over(memory, limits=FORESTS) as index:
        index.follow()
        pid = index.builder_pid
        assert pid
        wait_for(lambda: not at or list((memory.folder / "index").glob(f"*.tmp/{at}")))
        os.kill(pid, signal.SIGKILL)
        index._not_before = time.monotonic() + 600  # the next try is not of this part of the test
        while index.builder_pid:
            index.follow()
        assert [name for name in folders(memory) if "tmp" in name] == []
        assert is_exact(memory, index)
        assert "could not be made anew (it ended with -9)" in caplog.text
        index._not_before = 0
        settle(index)
        assert len(list((memory.folder / "index").glob("*/forest"))) == 1


def test_a_crash_between_building_and_renaming_leaves_the_old_files_in_use(memory: Memory) -> None:
    with index_over(memory) as index:
        settle(index)
        (before,) = folders(memory)
        remember(memory, unit_rows(900, seed=3))
        index.follow()
        assert index._building
        os.kill(index._building[0].pid, signal.SIGKILL)
        arguments = index._building[0]._process.args
        program = (
            "import os, pathlib, sys\n"
            "pathlib.Path.rename = lambda path, target: os._exit(9)\n"
            "from edge.memory.index.build import main\n"
            "main()"
        )
        assert isinstance(arguments, list)
        with subprocess.Popen([sys.executable, "-c", program, *arguments[3:]], stdin=subprocess.PIPE) as crashing:
            assert crashing.wait() == 9
        unfinished = memory.folder / "index" / f"{Path(arguments[5]).name}.tmp"
        assert (unfinished / "seal").is_file()
    with index_over(memory) as index:
        assert folders(memory) == [before]
        assert is_exact(memory, index)


@needs_annoy
@pytest.mark.usefixtures("few_are_many")
def test_a_damaged_forest_is_reported_once_and_grown_again(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    with index_over(memory, limits=FORESTS) as index:
        settle(index)
        (folder,) = folders(memory)
    flip(memory.folder / "index" / folder / "forest")
    with index_over(memory, limits=FORESTS) as index:
        assert index.damaged == 1
        assert is_exact(memory, index)  # without its forest
        settle(index)
        (anew,) = folders(memory)
        assert (memory.folder / "index" / anew / "forest").is_file()
        assert recall(memory, index) < 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"the index of image-03 is rebuilt from the memory: {folder}/forest has a wrong length or checksum"
    ]


@pytest.mark.parametrize("name", ["ids", "halves", "codes", "seal"])
def test_damaged_rows_are_reported_once_and_read_from_the_database(
    memory: Memory, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with index_over(memory) as index:
        settle(index)
        (folder,) = folders(memory)
    flip(memory.folder / "index" / folder / name)
    with index_over(memory) as index:
        assert len(index) == ROWS
        assert is_exact(memory, index)
        settle(index)
    with index_over(memory) as index:
        assert is_exact(memory, index)
    (told,) = caplog.records
    assert told.message.startswith(f"the index of image-03 is rebuilt from the memory: {folder}")


def test_rows_damaged_under_a_running_index_are_read_from_the_database(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    with index_over(memory) as index:
        settle(index)
        (folder,) = folders(memory)
        flip(memory.folder / "index" / folder / "codes")
        remember(memory, unit_rows(900, seed=3))
        settle(index)
        assert is_exact(memory, index)
        assert len(index) == ROWS + 900
    assert f"rebuilt from the memory: {folder}/codes has a wrong length or checksum" in caplog.text


def test_leaving_ends_the_builder(memory: Memory) -> None:
    with index_over(memory) as index:
        remember(memory, unit_rows(900, seed=3))
        index.follow()
        pid = index.builder_pid
        assert pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert [name for name in folders(memory) if "tmp" in name] == []


def test_a_full_disk_leaves_the_old_files_in_use(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    with Memory(disk.state, "a") as memory, index_over(memory) as index:
        remember(memory, unit_rows(ROWS))
        settle(index)
        remember(memory, unit_rows(900, seed=3))
        disk.fill_up_to(100_000)
        while "could not be made anew" not in caplog.text:
            index.follow()
        assert is_exact(memory, index)
        disk.make_room()
        settle(index)
        assert is_exact(memory, index)
        assert len(folders(memory)) == 1


@needs_annoy
@pytest.mark.slow
def test_a_killed_daemon_leaves_no_builder_behind(tmp_path: Path) -> None:
    """In the middle of annoy's work, which no Python code interrupts."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from edge.memory import Memory\n"
        "from edge.memory.index import Limits\n"
        "from feeds import remember\n"
        "from indexes import index_over, unit_rows\n"
        f"with Memory(Path({str(tmp_path / 'state')!r}), 'a') as memory:\n"
        "    remember(memory, unit_rows(60_000))\n"
        "    with index_over(memory, limits=Limits(forest_from=1_000)) as index:\n"
        "        index.follow()\n"
        "        print(index.builder_pid, flush=True)\n"
        "        time.sleep(60)\n"
    )
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": f"{tests}:{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        builder = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: list((tmp_path / "state" / "index").glob("*.tmp/forest")))
        time.sleep(0.5)
        assert builder.is_running()
        parent.kill()
        builder.wait(timeout=5)
