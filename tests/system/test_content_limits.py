"""A daemon that keeps no photo once it is embedded: what it says of that, at the console and to other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from commands import run
from daemons import Daemon, reach
from memories import wait_until_embedded
from waiting import wait_until

pytestmark = pytest.mark.slow


def state_of(daemon: Daemon) -> dict[str, Any]:
    state = run("status", "--config", daemon.config_file, "--json").objects[0]["state"]
    assert isinstance(state, dict)
    return state


def test_photo_that_is_not_kept_is_found_said_to_be_gone_and_not_taken_again(
    mosquitto: Mosquitto, tmp_path: Path, pictures: list[Path]
) -> None:
    config = {"content": {"max_mb": 0}}
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=config) as daemon:
        added = run("add", "--config", daemon.config_file, str(pictures[0]))
        assert (added.code, added.out) == (0, "1 accepted\n")
        wait_until_embedded(daemon.state, 1)
        wait_until(lambda: not list((daemon.state / "content").glob("*/*")), "the file is deleted")
        for _ in range(2):
            first, _ = run("ask", "--config", daemon.config_file, "a photo").out.splitlines()
            assert first.endswith(", file not kept")
            reply = json.loads(run("ask", "--config", daemon.config_file, "--json", "a photo").out)
            assert (reply["results"][0]["content"], reply["refined"]) == (False, 1)
            again = run("add", "--config", daemon.config_file, str(pictures[0]))
            assert (again.code, again.out) == (0, "1 there already\n")
            daemon.kill()
            daemon.start()
        wait_until(lambda: state_of(daemon)["items"] == 1, "the state after the start")
        state = state_of(daemon)
        # Finished for the question, it needs no activation any more.
        assert (state["backlog"], state["rejected"], state["content_mb"], state["cached"]) == (0, 0, 0.0, 0)
        assert 0 < state["database_mb"] < 10
