"""`reminisce status`: what the daemon last said of itself, and whether it still lives."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from commands import Finished, run, write_config
from daemons import Daemon, reach
from onlooker import Onlooker

PROTOCOL = (Path(__file__).parents[2] / "edge" / "mqtt" / "PROTOCOL.md").read_text(encoding="utf-8")
BASE = "reminisce/dev1"
STATE = {
    "items": 7, "content_mb": 1.5, "rejected": 0, "exits": {"11": 5}, "backlog": 2, "paused": False, "items_per_s": 0.1,
    "cache_mb": 4.5, "cached": 6, "database_mb": 2.0,
    "cpu_percent": 3.2, "rss_mb": 280.4, "anonymous_mb": 120.0, "disk_free_mb": 1500.0, "energy_kind": "none",
}  # fmt: skip


def test_status_tells_what_is_held_and_taken(device: Daemon) -> None:
    done = run("status", "--config", device.config_file)
    assert (done.code, done.err) == (0, "")
    first, *lines = done.out.splitlines()
    assert first == "dev1 is online"
    said = dict(line.split(None, 1) for line in lines)
    assert list(said) == ["model", "items", "refined", "backlog", "takes", "memory", "disk", "energy", "as"]
    assert re.fullmatch(r"demo-\S+ \(for evaluation\) on \S+", said["model"])
    left = r"\d+ at depth (8|11|15|16)"
    assert re.fullmatch(rf"\d+; left (none|{left}(, {left})*)", said["items"])
    assert re.fullmatch(
        r"content \d+\.\d MB, cache \d+\.\d MB of \d+ items, database [1-9]*\d\.\d MB; \d+\.\d GB free", said["disk"]
    )
    assert re.fullmatch(r"of +\d+ s ago", said["as"])


def test_json_has_the_documented_keys(device: Daemon) -> None:
    done = run("status", "--config", device.config_file, "--json")
    assert (done.code, done.err) == (0, "")
    (found,) = done.objects
    assert found.keys() == {"status", "info", "state"}
    assert found["status"] == "online"
    info = PROTOCOL.partition("## Info")[2].partition("## State")[0]
    assert found["info"].keys() - {"v"} <= set(re.findall(r"`(\w+)`", info))
    state = PROTOCOL.partition("## State")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", state, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    may_be_absent = {
        name
        for row in re.findall(r"^\| (`.*?) \| .*absent", state, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert {"busy", "temperature_c", "power_w"} <= may_be_absent
    assert documented - may_be_absent <= found["state"].keys() - {"v"} <= documented


@pytest.fixture
def past(mosquitto: Mosquitto) -> Iterator[Onlooker]:
    """Says what a daemon would have said."""
    with Onlooker(mosquitto.port) as past:
        yield past


def said(past: Onlooker, status: bytes = b"online", **state: object) -> None:
    past.say(f"{BASE}/state", json.dumps({"ts": time.time() - 30, **STATE, **state}).encode(), is_retained=True)
    model = {"id": "clip", "purpose": "for tests"}
    past.say(f"{BASE}/info", json.dumps({"model": model, "runtime": "none"}).encode(), is_retained=True)
    past.say(f"{BASE}/status", status, is_retained=True)


def status(mosquitto: Mosquitto, tmp_path: Path, *arguments: str) -> Finished:
    return run("status", "--config", write_config(tmp_path, reach(mosquitto)), *arguments)


def test_everything_is_said(mosquitto: Mosquitto, past: Onlooker, tmp_path: Path) -> None:
    counts: dict[str, Any] = {"earlier": 4, "migrating": 3, "out_of_reach": 1, "refined": 3, "refined_ahead": 2}
    said(past, rejected=1, paused=True, busy="full", temperature_c=61.7, damaged_files=3, **counts)
    done = status(mosquitto, tmp_path)
    assert (done.code, done.err) == (0, "")
    assert re.sub(r"3\d s", "30 s", done.out) == (
        "dev1 is online\n"
        "model     clip (for tests) on none\n"
        "items     7, 1 unreadable; left 5 at depth 11\n"
        "refined   3 of 7 finished, 2 of them in idle time\n"
        "backlog   2 (paused) (full: nothing new is accepted), 0.1 items/s\n"
        "earlier   4 items of an earlier bundle: 3 to be encoded anew, 1 stay as they are;"
        " 1 of them are not found until then\n"
        "takes     3 % of a core, 62 °C\n"
        "memory    280 MB, 120 MB of it its own\n"
        "disk      content 1.5 MB, cache 4.5 MB of 6 items, database 2.0 MB; 1.5 GB free,"
        " 3 damaged files of index and cache made anew: see the log\n"
        "energy    not measured\n"
        "as of     30 s ago\n"
    )


def test_device_that_is_offline_is_a_failure_that_still_tells_its_last_state(
    mosquitto: Mosquitto, past: Onlooker, tmp_path: Path
) -> None:
    said(past, b"offline")
    done = status(mosquitto, tmp_path)
    assert done.code == 1
    assert done.out.startswith("dev1 is offline\nmodel ")
    assert "\nas of     3" in done.out
    done = status(mosquitto, tmp_path, "--json")
    assert (done.code, done.objects[0]["status"]) == (1, "offline")


def test_notes_are_told_beside_pictures(mosquitto: Mosquitto, past: Onlooker, tmp_path: Path) -> None:
    said(past, notes=2, refined=1)
    told = status(mosquitto, tmp_path).out.splitlines()
    assert told[2:4] == ["items     7; left 5 at depth 11; 2 notes", "refined   1 of 5 finished"]


def test_state_of_an_empty_device(mosquitto: Mosquitto, past: Onlooker, tmp_path: Path) -> None:
    said(past, items=0, exits={}, backlog=0)
    assert "\nitems     0; left none\nrefined   0 of 0 finished\nbacklog   0, " in status(mosquitto, tmp_path).out


@pytest.mark.parametrize("state", [b"no JSON", b"[1]", b'{"ts": "now"}', b"\xff\xfe"])
def test_state_that_is_none_is_an_error_and_no_traceback(
    state: bytes, mosquitto: Mosquitto, past: Onlooker, tmp_path: Path
) -> None:
    said(past)
    past.say(f"{BASE}/state", state, is_retained=True)
    done = status(mosquitto, tmp_path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"reminisce: what lies below {BASE} cannot be read (")
    assert done.err.endswith("): is the daemon of another version?\n")


MEASURED: dict[str, Any] = {
    "power_w": 4.318,
    "power_source": "ina219 at 1-0040",
    "items_metered": 7,
    "queries_metered": 2,
}


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        (
            {
                "energy_kind": "measured_board",
                "j_per_item": 0.05,
                "j_per_query": 1.2,
                "idle_w": 2.71,
                "idle_age_s": 240,
            },
            "measured: 4.32 W now (ina219 at 1-0040), 0.05 J an item, 1.2 J a question, idle 2.71 W, 4 min ago",
        ),
        (
            {"energy_kind": "measured_rails"},
            "measured, a part of the board: 4.32 W now (ina219 at 1-0040)",
        ),
        (
            {"energy_kind": "corrected", "idle_w": 2.7, "j_per_item": 0.05, "j_per_item_gross": 0.06},
            "corrected: 4.32 W now (ina219 at 1-0040), 0.05 J an item, idle 2.70 W, as configured",
        ),
        (
            {"energy_kind": "estimated", "j_per_item_gross": 0.0625},
            "estimated: 4.32 W now (ina219 at 1-0040), 0.0625 J an item with the idle board",
        ),
    ],
)
def test_every_figure_of_energy_comes_with_its_kind_in_words(
    mosquitto: Mosquitto, past: Onlooker, tmp_path: Path, figures: dict[str, Any], line: str
) -> None:
    said(past, b"online", **MEASURED, **figures)
    done = status(mosquitto, tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"\nenergy    {line}\n" in done.out


def test_meter_that_has_no_figure_yet_has_not_measured(mosquitto: Mosquitto, past: Onlooker, tmp_path: Path) -> None:
    said(past, energy_kind="measured_board", power_source="ina219", items_metered=0)
    assert "\nenergy    not measured\n" in status(mosquitto, tmp_path).out
