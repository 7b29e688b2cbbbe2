"""`reminisce export` and `reminisce import`: the shipped bundle, real processes, signals at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from brokers import plain_mosquitto
from commands import finish, run, start
from daemons import Daemon, reach
from edge.config import Config
from edge.engine import Engine, Hooks
from edge.items import Answer, Offer, Question
from memories import wait_until_embedded
from told import Told
from waiting import wait_until

QUESTIONS = ("mountains in the morning", "a dog with its tongue out", "something sweet to eat", "a red flower")
COUNT = 40


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """A state folder with pictures, as the engine remembers them."""
    state, told = tmp_path_factory.mktemp("origin") / "state", Told()
    with Engine(Config(), state, Hooks(on_outcome=told.outcome)) as engine:
        engine.start()
        for file in pictures[:COUNT]:
            offer = Offer(content=file.read_bytes(), source=file.name)
            wait_until(lambda offer=offer: engine.inbox.offer(offer, told.verdict))  # type: ignore[misc]
        wait_until(lambda: len(told.outcomes) == COUNT)
        wait_until(lambda: engine.activations and engine.activations.count)
    return state


@pytest.fixture(scope="module")
def tar(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `reminisce export` makes of it."""
    file = tmp_path_factory.mktemp("tar") / "memory.tar"
    done = run("export", "--json", "--state", origin, file)
    assert (done.code, done.err) == (0, "")
    (said,) = done.objects
    assert (said["items"], said["content"], said["missing"]) == (COUNT, COUNT, 0)
    assert 0 < said["activations"] <= COUNT
    assert said["size_bytes"] == file.stat().st_size
    return file


def answers(state: Path) -> list[list[tuple[int, bytes, int, float, float | None]]]:
    """To each question: id, SHA-256, depth, score and relevance of each hit, best first."""
    with Engine(Config(), state) as engine:
        engine.start()
        found: list[Answer] = []
        for text in QUESTIONS:
            engine.questions.ask(Question(text=text, limit=COUNT), found.append)  # type: ignore[arg-type]
            wait_until(lambda: len(found) > QUESTIONS.index(text))  # noqa: B023 - it is waited for here
    return [[(hit.item.id, hit.item.digest, hit.depth, hit.score, hit.relevance) for hit in one.hits] for one in found]


def rows_of(state: Path) -> int:
    with closing(sqlite3.connect(state / "memory.db")) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (count,) = rows.execute("SELECT count(*) FROM items").fetchone()
    return int(count)


def activations_of(state: Path) -> set[str]:
    return {path.name for path in state.glob("activations/*/*")}


def test_another_device_gives_the_same_answers(origin: Path, tar: Path, tmp_path: Path) -> None:
    done = run("import", "--state", tmp_path / "there", tar)
    assert (done.code, done.out, done.err) == (0, f"{COUNT} new\n", "")
    shutil.copytree(origin, tmp_path / "copy")  # what a question finishes stays so: the origin is for other tests, too
    expected, found = answers(tmp_path / "copy"), answers(tmp_path / "there")
    assert [len(one) for one in found] == [COUNT] * len(QUESTIONS)
    assert found == expected


def test_import_says_what_was_there_already(tar: Path, tmp_path: Path) -> None:
    run("import", "--state", tmp_path / "there", tar)
    done = run("import", "--state", tmp_path / "there", tar)
    assert (done.code, done.out, done.err) == (0, f"0 new, {COUNT} there already\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("export", "--state", "{origin}", "{tar}"), 2, "memory.tar is there already: choose another name"),
        (("export", "--state", "{here}/none", "{here}/out.tar"), 2, "none has no memory to export"),
        (("import", "--state", "{here}/there", "{here}/none.tar"), 2, "none.tar cannot be read (No such file"),
        (
            ("import", "--state", "{here}/there", "README.md"),
            1,
            "README.md cannot be imported, and nothing was changed",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    origin: Path, tar: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, why: str
) -> None:
    done = run(*(each.format(origin=origin, tar=tar, here=tmp_path) for each in arguments))
    assert (done.code, done.out) == (code, "")
    assert why in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def serving(tmp_path: Path, pictures: list[Path]) -> Iterator[Daemon]:
    """A daemon that holds five pictures."""
    (tmp_path / "broker").mkdir()
    (tmp_path / "daemon").mkdir()
    with (
        plain_mosquitto(tmp_path / "broker") as broker,
        Daemon(folder=tmp_path / "daemon", mqtt=reach(broker)) as daemon,
    ):
        assert run("add", "--config", daemon.config_file, *pictures[:5]).code == 0
        wait_until_embedded(daemon.state, 5)
        yield daemon


def test_daemon_that_runs_is_exported_beside_its_work_and_refuses_an_import(
    serving: Daemon, tar: Path, tmp_path: Path
) -> None:
    done = run("export", "--config", serving.config_file, tmp_path / "out.tar")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("5 items, 5 with content, ")
    done = run("import", "--config", serving.config_file, tar)
    assert (done.code, done.out) == (1, "")
    assert "is in use by another process: stop it, or choose another state folder" in done.err
    assert run("ask", "--config", serving.config_file, "a dog").code == 0
    assert run("import", "--state", tmp_path / "there", tmp_path / "out.tar").out == "5 new\n"


def ended(process: subprocess.Popen[bytes], is_at: Callable[[], object], number: int) -> int:
    """The exit code of a process that gets a signal as soon as it is there, or ended before."""
    while process.poll() is None and not is_at():
        time.sleep(0.001)
    if process.poll() is None:
        os.kill(process.pid, number)
    return finish(process).code


def test_killed_export_leaves_no_file_and_the_next_one_is_whole(origin: Path, tmp_path: Path) -> None:
    target, left = tmp_path / "out.tar", tmp_path / ".out.tar.unfinished"
    for is_at in (left.exists, (left / "memory.db").exists, (left / "tar").exists):
        code = ended(start("export", "--state", origin, target), is_at, signal.SIGKILL)
        assert (code == 0) == target.exists()
        target.unlink(missing_ok=True)
    assert run("export", "--state", origin, target).code == 0
    assert list(tmp_path.iterdir()) == [target]
    assert run("import", "--state", tmp_path / "there", target).out == f"{COUNT} new\n"


def test_interrupted_export_leaves_nothing(origin: Path, tmp_path: Path) -> None:
    process = start("export", "--state", origin, tmp_path / "out.tar")
    if ended(process, (tmp_path / ".out.tar.unfinished").exists, signal.SIGINT) != 0:
        assert list(tmp_path.iterdir()) == []


def test_import_that_is_killed_anywhere_leaves_all_or_nothing(tar: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    places = (
        there / "importing",
        there / "importing" / "memory.db",
        there / "importing" / "activations",
        there / "importing" / "memory.db-wal",
        there / "activations",
    )
    for place in places:
        ended(start("import", "--state", there, tar), place.exists, signal.SIGKILL)
        if (there / "memory.db").exists():
            assert rows_of(there) in {0, COUNT}
        with Engine(Config(), there) as engine:  # what a daemon's start would meet
            assert engine.memory.tally.items in {0, COUNT}
            assert not (there / "importing").exists()
            kept = [path for path in (there / "content").rglob("*") if path.is_file()]
            assert len(kept) == engine.memory.tally.items
        shutil.rmtree(there)
    assert run("import", "--state", there, tar).out == f"{COUNT} new\n"


def test_interrupted_import_changes_nothing(tar: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    code = ended(start("import", "--state", there, tar), (there / "importing").exists, signal.SIGINT)
    assert code in {0, 130}
    assert not (there / "importing").exists()
    assert rows_of(there) in ({0, COUNT} if code else {COUNT})


# As from a slow card: the signal comes while the first activation is taken over.
STOPPED_BEHIND_THE_ITEMS = """
import os, signal, sys
from edge.cli.main import main
from edge.memory import Activations
Activations._adopt = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(main())
"""


def test_import_that_is_stopped_behind_its_items_says_what_is_there_and_goes_on(
    origin: Path, tar: Path, tmp_path: Path
) -> None:
    there, program = tmp_path / "there", ("-c", STOPPED_BEHIND_THE_ITEMS)
    done = finish(start("import", "--state", there, tar, program=program))
    assert (done.code, done.out) == (130, f"{COUNT} new; stopped before all half-finished items came along\n")
    assert done.err == "\nreminisce: interrupted; run it again: what is there is not added twice\n"
    assert (rows_of(there), activations_of(there)) == (COUNT, set())
    assert run("import", "--state", there, tar).out == f"0 new, {COUNT} there already\n"
    assert activations_of(there) == activations_of(origin) != set()
