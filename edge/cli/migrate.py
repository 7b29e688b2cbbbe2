"""`reminisce migrate`."""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Iterator
from typing import Any

from edge.cli.settings import requester, settings
from edge.errors import BrokerError
from edge.mqtt import ONLINE, Requester

ONLINE_S = 5  # what is retained comes at once
SILENCE_S = 60  # the daemon says every ten seconds how far it is
_WIDTH = 30
_FIELDS = ("items", "earlier", "migrating", "out_of_reach", "paused")


def migrate(options: argparse.Namespace) -> int:
    """Show how items of earlier bundles are encoded anew, until none is left that can be; the daemon does it anyway."""
    config = settings(options.config)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    is_bar = sys.stdout.isatty() and not options.json
    state_topic = requester(config).topics.state

    def hear(topic: str, told: bytes) -> None:
        if topic == state_topic:
            heard.put(told)

    with requester(config, (state_topic,), hear) as client:
        client.wait_until_online(ONLINE_S)
        state: dict[str, int] = {}
        for state in _states(client, heard):
            text = json.dumps(state) if options.json else _progress(state)
            print(f"\r{text}\033[K" if is_bar else text, end="" if is_bar else "\n", flush=True)
            if not state["migrating"]:
                break
    if not options.json:
        print(f"{chr(10) if is_bar else ''}{_end(state)}")
    return 0


def _states(client: Requester, heard: queue.SimpleQueue[bytes]) -> Iterator[dict[str, int]]:
    """As the daemon tells them. Raises BrokerError when it is gone."""
    silence_s = 0
    while True:
        try:
            told: dict[str, Any] = json.loads(heard.get(timeout=1))
            yield {name: told.get(name, 0) for name in _FIELDS}
            silence_s = 0
        except queue.Empty:
            silence_s += 1
        except (ValueError, AttributeError):
            raise BrokerError("the state of the device cannot be read: is the daemon of another version?") from None
        client.check()
        if client.status != ONLINE.decode() or silence_s >= SILENCE_S:
            raise BrokerError("the daemon is gone: it goes on where it was when it runs again")


def _progress(state: dict[str, int]) -> str:
    done, items = state["items"] - state["earlier"], max(1, state["items"])
    full = _WIDTH * done // items
    paused = ", paused" if state["paused"] else ""
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {done} of {items}, {state['migrating']} to do{paused}"


def _end(state: dict[str, int]) -> str:
    if not state["earlier"]:
        return "every item is of the present bundle: what is left of earlier ones can be deleted"
    why = "that bundle is not there, or they are notes"
    lost = f", {state['out_of_reach']} of them not found: {why}" if state["out_of_reach"] else ""
    return f"{state['earlier']} items stay with an earlier bundle, as their files are not kept or cannot be read{lost}"
