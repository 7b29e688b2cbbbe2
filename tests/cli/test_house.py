"""`reminisce forget` and `reminisce pin`: of a daemon that runs, whose folder is searched while it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import plain_mosquitto
from commands import Finished, run
from daemons import Daemon, reach
from memories import wait_until_embedded
from remains import left_of

COUNT = 8


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Iterator[Daemon]:
    """A daemon that holds some pictures, which these tests forget one after another."""
    with (
        plain_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker,
        Daemon(folder=tmp_path_factory.mktemp("daemon"), mqtt=reach(broker)) as daemon,
    ):
        assert run("add", "--config", daemon.config_file, *pictures[:COUNT]).code == 0
        wait_until_embedded(daemon.state, COUNT)
        yield daemon


def command(owned: Daemon, *arguments: str | Path) -> Finished:
    return run(arguments[0], "--config", owned.config_file, *arguments[1:])


def digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def items(owned: Daemon) -> set[str]:
    """Ids of all answers to a question."""
    done = command(owned, "ask", "--json", "--limit", "100", "an animal")
    return {result["item"] for result in json.loads(done.out)["results"]}


def test_forgotten_file_is_gone_from_the_folder_and_from_answers_while_the_daemon_runs(
    owned: Daemon, pictures: list[Path]
) -> None:
    file = pictures[0]
    traces = {"content": file.read_bytes()[:256], "digest": digest(file), "source": str(file).encode()}
    assert digest(file).hex() in items(owned)
    assert len({what.split()[0] for what in left_of(traces, owned.state)}) == 3
    done = command(owned, "forget", file)
    assert (done.code, done.out, done.err) == (0, "1 forgotten\n", "")
    assert left_of(traces, owned.state) == []
    assert digest(file).hex() not in items(owned)
    assert command(owned, "forget", file).out == "0 forgotten\n"
    assert command(owned, "forget", file).code == 1


def test_pinned_picture_stays_until_it_is_named_with_force(owned: Daemon, pictures: list[Path]) -> None:
    file = pictures[1]
    item = digest(file).hex()
    assert command(owned, "pin", item).out == "1 pinned\n"
    done = command(owned, "forget", file)
    assert (done.code, done.out) == (1, "0 forgotten, 1 pinned and kept\n")
    assert json.loads(command(owned, "forget", "--json", "--source", str(file)).out) == {"forgotten": 0, "kept": 1}
    assert item in items(owned)
    assert command(owned, "forget", "--force", item).out == "1 forgotten\n"
    assert item not in items(owned)


def test_pin_can_be_undone(owned: Daemon, pictures: list[Path]) -> None:
    assert command(owned, "pin", "--json", pictures[2]).objects == [{"pinned": 1}]
    assert command(owned, "pin", "--undo", pictures[2]).out == "1 unpinned\n"
    assert command(owned, "pin", "a" * 64).code == 1


def test_all_of_a_source_and_all_of_a_time_are_forgotten(owned: Daemon, pictures: list[Path]) -> None:
    assert command(owned, "forget", "--until", "1990-01-01").out == "0 forgotten\n"
    assert command(owned, "forget", "--older-than", "2000w").out == "0 forgotten\n"
    assert command(owned, "forget", "--source", f"*/{pictures[2].name}").out == "1 forgotten\n"
    left = len(items(owned))
    assert left > 1
    assert command(owned, "forget", "--since", "1990-01-01", "--source", "/").out == f"{left} forgotten\n"
    assert items(owned) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("forget",), "forget: which items? Name them, or use --source, --since, --until, --older-than or --meta"),
        (("pin", "--undo"), "pin: which items?"),
        (("forget", "no-such-file"), "'no-such-file' is no item and no file (No such file or directory)"),
        (("forget", "--until", "soon"), "--until: is 'soon': must be seconds of Unix time, a day like 2026-07-01"),
        (("forget", "--older-than", "9 years"), "'9 years': must be a number and h, d or w"),
    ],
)
def test_what_cannot_be_carried_out_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments, environ={"HOME": str(tmp_path)})
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_force_with_a_filter_is_refused_by_the_daemon(owned: Daemon) -> None:
    done = command(owned, "forget", "--force", "--source", "/")
    assert (done.code, done.err) == (1, "reminisce: force is for op 'forget' with items (bad_request)\n")
