"""`reminisce status`."""

from __future__ import annotations

import argparse
import json
import queue
import time
from typing import Any

from edge.cli.settings import requester, settings
from edge.errors import BrokerError
from edge.mqtt import ONLINE

WAIT_S = 5  # retained messages come at once; a state that was never published does not come at all


def status(options: argparse.Namespace) -> int:
    """Print what the daemon last said of itself; returns 1 when it is offline."""
    config = settings(options.config)
    told: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    topics = requester(config).topics
    names = {topics.status: "status", topics.info: "info", topics.state: "state"}
    with requester(config, (topics.info, topics.state), lambda topic, payload: told.put((topic, payload))):
        heard = _collect(names, told)
    if "status" not in heard:
        raise BrokerError(
            f"the device {config.device!r} has never been heard of at this broker: is `reminisce run` up, with this"
            f" `device` and broker in its config, and may we read {topics.status}?"
        )
    found: dict[str, Any] = {"status": heard.pop("status").decode(errors="replace")}
    try:
        found |= {name: json.loads(payload) for name, payload in heard.items()}
        print(json.dumps(found) if options.json else _text(config.device, found))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"what lies below {topics.base} cannot be read ({type(error).__name__}: {error})"
        raise BrokerError(f"{what}: is the daemon of another version?") from None
    return 0 if found["status"] == ONLINE.decode() else 1


def _collect(names: dict[str, str], told: queue.SimpleQueue[tuple[str, bytes]]) -> dict[str, bytes]:
    heard: dict[str, bytes] = {}
    end = time.monotonic() + WAIT_S
    while len(heard) < len(names) and (left := end - time.monotonic()) > 0:
        try:
            topic, payload = told.get(timeout=left)
        except queue.Empty:
            break
        heard[names[topic]] = payload
    return heard


def _text(device: str, found: dict[str, Any]) -> str:
    lines = [f"{device} is {found['status']}"]
    if info := found.get("info"):
        lines.append(f"model     {info['model']['id']} ({info['model']['purpose']}) on {info['runtime']}")
    if state := found.get("state"):
        exits = ", ".join(f"{count} at depth {depth}" for depth, count in state["exits"].items()) or "none"
        notes = state.get("notes", 0)
        exits += f"; {notes} notes" if notes else ""
        more = f", {state['rejected']} unreadable" if state["rejected"] else ""
        held = f" ({state['busy']}: nothing new is accepted)" if "busy" in state else ""
        paused = " (paused)" if state["paused"] else ""
        heat = f", {state['temperature_c']:.0f} °C" if "temperature_c" in state else ""
        damaged = state.get("damaged_files", 0)
        harm = f", {damaged} damaged files of index and cache made anew: see the log" if damaged else ""
        age = max(0.0, time.time() - state["ts"])
        finished = f"{state.get('refined', 0)} of {state['items'] - notes} finished"
        if ahead := state.get("refined_ahead"):
            finished += f", {ahead} of them in idle time"
        lines += [
            f"items     {state['items']}{more}; left {exits}",
            f"refined   {finished}",
            f"backlog   {state['backlog']}{paused}{held}, {state['items_per_s']:.1f} items/s",
            *_earlier(state),
            f"takes     {state['cpu_percent']:.0f} % of a core{heat}",
            f"memory    {state['rss_mb']:.0f} MB, {state['anonymous_mb']:.0f} MB of it its own",
            f"disk      {_disk(state)}; {state['disk_free_mb'] / 1e3:.1f} GB free{harm}",
            f"energy    {_energy(state)}",
            f"as of     {age:.0f} s ago",
        ]
    return "\n".join(lines)


def _earlier(state: dict[str, Any]) -> list[str]:
    """A line as long as anything is of another bundle than the present one."""
    if not (earlier := state.get("earlier")):
        return []
    migrating, lost = state["migrating"], state.get("out_of_reach", 0)
    stays = f", {earlier - migrating} stay as they are" if earlier > migrating else ""
    found = f"; {lost} of them are not found until then" if lost else ""
    return [f"earlier   {earlier} items of an earlier bundle: {migrating} to be encoded anew{stays}{found}"]


def _disk(state: dict[str, Any]) -> str:
    cache = f"cache {state['cache_mb']:.1f} MB of {state['cached']} items"
    return f"content {state['content_mb']:.1f} MB, {cache}, database {state['database_mb']:.1f} MB"


def _energy(state: dict[str, Any]) -> str:
    """Every figure with its kind before it, in words."""
    if "power_w" not in state:
        return "not measured"
    kind = {"measured_board": "measured", "measured_rails": "measured, a part of the board"}.get(
        state["energy_kind"], state["energy_kind"]
    )
    told = [f"{kind}: {state['power_w']:.2f} W now ({state['power_source']})"]
    for name, what in (("item", "an item"), ("query", "a question"), ("ahead", "an item in idle time")):
        if (joules := state.get(f"j_per_{name}")) is not None:
            told.append(f"{joules:.3g} J {what}")
        elif (joules := state.get(f"j_per_{name}_gross")) is not None:
            told.append(f"{joules:.3g} J {what} with the idle board")
    if "idle_w" in state:
        age = f", {state['idle_age_s'] / 60:.0f} min ago" if "idle_age_s" in state else ", as configured"
        told.append(f"idle {state['idle_w']:.2f} W{age}")
    return ", ".join(told)
