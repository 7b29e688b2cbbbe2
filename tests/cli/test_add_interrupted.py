"""`reminisce add` when something ends in the middle: the user's patience, the daemon, the broker, the room."""

from __future__ import annotations

import json
import signal
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from commands import Finished, finish, run, start
from daemons import Daemon, reach
from publishers import distinct

IMPATIENT = "import edge.cli.add, sys; edge.cli.add.PATIENCE_S = 1; sys.exit(edge.cli.main(sys.argv[1:]))"
MANY, SOME = 150, 40


@pytest.fixture(scope="module")
def many(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many pictures, each of another content."""
    folder = tmp_path_factory.mktemp("many")
    for number, content in enumerate(islice(distinct(pictures), MANY)):
        (folder / f"{number:03}.jpg").write_bytes(content)
    return folder


def start_adding(daemon: Daemon, many: Path) -> tuple[subprocess.Popen[bytes], list[dict[str, Any]]]:
    """The command in the middle of its work, and what it has said so far."""
    adding = start("add", "--json", "--config", daemon.config_file, many)
    assert adding.stdout
    return adding, [json.loads(adding.stdout.readline()) for _ in range(SOME)]


def see_that_all_are_there(daemon: Daemon, said: list[dict[str, Any]], done: Finished) -> None:
    assert done.code == 0
    assert done.objects[-1] == {"accepted": MANY, "duplicate": 0, "rejected": 0, "embedding": 0}
    assert len({one["item"] for one in said + done.objects[:-1]}) == MANY
    with daemon.requester() as client:
        question = {"text": "a dog", "limit": 1000, "refine": False, "collapse": False}  # many are copies
        reply = client.request(client.topics.query, question, 60)
    assert len({result["item"] for result in reply["results"]}) == MANY


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_add_keeps_what_was_accepted_and_goes_on_when_run_again(
    number: signal.Signals, daemon: Daemon, many: Path
) -> None:
    adding, said = start_adding(daemon, many)
    adding.send_signal(number)
    done = finish(adding)
    assert done.code == 130
    assert done.err == "\nreminisce: interrupted; what was accepted is safe; run it again to go on\n"
    accepted = {one["item"] for one in said + done.objects if one["state"] == "accepted"}
    assert SOME <= len(accepted) < MANY

    again = run("add", "--json", "--config", daemon.config_file, many)
    assert again.code == 0
    states = {one["item"]: one["state"] for one in again.objects[:-1]}
    assert len(states) == MANY
    assert {states[item] for item in accepted} == {"duplicate"}
    counts = again.objects[-1]
    assert counts["accepted"] + counts["duplicate"] == MANY
    assert counts["duplicate"] <= len(accepted) + 32  # what was on its way


@pytest.mark.slow
def test_daemon_that_is_killed_and_started_again_is_waited_for(daemon: Daemon, many: Path) -> None:
    adding, said = start_adding(daemon, many)
    daemon.kill()
    daemon.start()
    see_that_all_are_there(daemon, said, finish(adding))


@pytest.mark.slow
def test_daemon_that_is_stopped_and_started_again_is_waited_for(daemon: Daemon, many: Path) -> None:
    adding, said = start_adding(daemon, many)
    daemon.stop()
    daemon.start()
    see_that_all_are_there(daemon, said, finish(adding))


@pytest.mark.slow
@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill])
def test_broker_that_ends_and_is_started_again_is_waited_for(
    end: Any, mosquitto: Mosquitto, daemon: Daemon, many: Path
) -> None:
    adding, said = start_adding(daemon, many)
    end(mosquitto)
    mosquitto.start()
    see_that_all_are_there(daemon, said, finish(adding))


def test_full_inbox_is_waited_for_and_said_once(mosquitto: Mosquitto, pictures: list[Path], tmp_path: Path) -> None:
    config = {"remember": {"inbox_items": 5}}
    full = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=config)
    with full as daemon, daemon.requester() as client:
        client.request(client.topics.control, {"op": "pause"}, 20)
        adding = start("add", "--config", daemon.config_file, *pictures)
        assert adding.stderr
        waiting = "waiting: the device has to embed what it holds before it takes more (`reminisce status`)"
        assert adding.stderr.readline().decode() == f"{waiting}; what was accepted is safe\n"
        assert adding.poll() is None
        client.request(client.topics.control, {"op": "resume"}, 20)
        done = finish(adding)
    assert (done.code, done.out, done.err) == (0, f"{len(pictures)} accepted\n", "")


def test_what_a_paused_device_has_accepted_is_said_to_wait(daemon: Daemon, pictures: list[Path]) -> None:
    with daemon.requester() as client:
        client.request(client.topics.control, {"op": "pause"}, 20)
        done = run("add", "--config", daemon.config_file, *pictures[:3], program=("-c", IMPATIENT))
    said = "3 accepted; 3 of them will be found once they are embedded (`reminisce status`)\n"
    assert (done.code, done.out, done.err) == (0, said, "")


def test_reader_that_has_seen_enough_ends_it_in_silence(daemon: Daemon, many: Path) -> None:
    adding, _ = start_adding(daemon, many)
    assert adding.stdout
    adding.stdout.close()
    adding.stdout = None
    done = finish(adding)
    assert (done.code, done.err) == (1, "")
