"""Watts and joules of a real daemon: measured while it works, told in `state` and by `reminisce status`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from commands import run
from daemons import Daemon, reach
from edge.power.estimate import UNKNOWN
from publishers import PATIENCE_S, Publisher, distinct
from waiting import wait_until

ITEMS = 3
STATE_S = 15.0  # `state` is told every ten
ESTIMATE = {"power": {"meter": "estimate", "idle_w": UNKNOWN.idle_w, "interval_ms": 50}}


@pytest.fixture
def metered(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=ESTIMATE) as daemon:
        yield daemon


@pytest.mark.slow
def test_work_has_its_joules_and_they_are_said_to_be_estimated(
    mosquitto: Mosquitto, metered: Daemon, pictures: list[Path]
) -> None:
    with Publisher(reach(mosquitto), metered.topics) as publisher:

        def state() -> dict[str, Any]:
            return publisher.last(metered.topics.state)

        wait_until(lambda: "power_w" in state(), "watts", STATE_S)
        assert not state().keys() & {"j_per_item", "j_per_query"}  # nothing was done so far
        photos = distinct(pictures)
        for _ in range(ITEMS):
            publisher.send(next(photos))
        asked = publisher.ask(metered.topics.query, text="a dog", limit=1)
        wait_until(lambda: bool(publisher.replies(asked)), "an answer", PATIENCE_S)
        wait_until(
            lambda: (state().get("items_metered"), state().get("queries_metered")) == (ITEMS, 1),
            lambda: f"all of it counted: {state()}",
            PATIENCE_S,
        )
        told = state()
    assert told["energy_kind"] == "estimated"
    assert told["idle_w"] == UNKNOWN.idle_w
    assert "idle_age_s" not in told  # nobody measured it
    assert 0 < told["j_per_item"] < told["j_per_item_gross"] < 1_000
    assert 0 < told["j_per_query"] < told["j_per_query_gross"] < 1_000
    done = run("status", "--config", metered.config_file)
    (line,) = re.findall(r"^energy +(.*)$", done.out, re.MULTILINE)
    assert re.fullmatch(
        r"estimated: \d+\.\d\d W now \(.*\), \S+ J an item, \S+ J a question, idle \d+\.\d\d W, as configured", line
    )


def test_daemon_says_in_its_log_which_meter_it_has(metered: Daemon) -> None:
    metered.await_log("power is estimated by unknown board, 5 W and 2 W for each busy core (power.meter is estimate)")


def test_daemon_without_a_meter_tells_no_figures(mosquitto: Mosquitto, tmp_path: Path) -> None:
    config = {"power": {"meter": "none"}}
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=config) as daemon:
        done = run("status", "--config", daemon.config_file, "--json")
        (found,) = done.objects
        assert found["state"]["energy_kind"] == "none"
        assert [name for name in found["state"] if name.startswith(("power", "j_", "idle"))] == []
        assert "\nenergy    not measured\n" in run("status", "--config", daemon.config_file).out
