"""`reminisce migrate`: how far a daemon is with what an earlier model embedded."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

from brokers import Mosquitto
from commands import Finished, run, write_config
from daemons import Daemon, reach
from edge.bundle import Bundle
from memories import wait_until_embedded
from onlooker import Onlooker

BASE = "reminisce/dev1"
COUNT = 6


def say(past: Onlooker, status: bytes = b"online", **state: object) -> None:
    """What a daemon would have said."""
    past.say(f"{BASE}/state", json.dumps({"ts": time.time(), "paused": False, **state}).encode(), is_retained=True)
    past.say(f"{BASE}/info", b"{}", is_retained=True)
    past.say(f"{BASE}/status", status, is_retained=True)


def migrate(mosquitto: Mosquitto, tmp_path: Path, *arguments: str) -> Finished:
    return run("migrate", "--config", write_config(tmp_path, reach(mosquitto)), *arguments)


def test_pictures_of_the_old_model_are_of_the_new_one_in_the_end(
    mosquitto: Mosquitto, tmp_path: Path, pictures: list[Path], successor: Bundle
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto))
    with daemon:
        assert run("add", "--config", daemon.config_file, *pictures[:COUNT]).code == 0
        wait_until_embedded(daemon.state, COUNT)
    with dataclasses.replace(daemon, config={"bundle": str(successor.folder)}) as changed:
        done = run("migrate", "--config", changed.config_file, "--json")
        assert (done.code, done.err) == (0, "")
        assert done.objects[-1] == {"items": COUNT, "earlier": 0, "migrating": 0, "out_of_reach": 0, "paused": False}
        shown = run("status", "--config", changed.config_file).out
        assert "-successor (for evaluation)" in shown
        assert "earlier" not in shown


def test_nothing_to_do_is_said_at_once(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with Onlooker(mosquitto.port) as past:
        say(past, items=7)
        done = migrate(mosquitto, tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"[{'#' * 30}] 7 of 7, 0 to do\n"
        "every item is of the present bundle: what is left of earlier ones can be deleted\n"
    )


def test_what_stays_with_the_old_model_is_said_and_no_failure(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with Onlooker(mosquitto.port) as past:
        say(past, items=8, earlier=4, migrating=0, out_of_reach=1)
        done = migrate(mosquitto, tmp_path)
    assert done.code == 0
    assert done.out.splitlines()[0] == f"[{'#' * 15}{'.' * 15}] 4 of 8, 0 to do"
    assert done.out.splitlines()[1] == (
        "4 items stay with an earlier bundle, as their files are not kept or cannot be read,"
        " 1 of them not found: that bundle is not there, or they are notes"
    )


def test_daemon_that_goes_while_it_is_watched_is_a_failure_that_says_that_nothing_is_lost(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with Onlooker(mosquitto.port) as past:
        say(past, b"offline", items=8, earlier=4, migrating=4)
        done = migrate(mosquitto, tmp_path)
    assert done.code == 1
    assert "is offline at this broker" in done.err
