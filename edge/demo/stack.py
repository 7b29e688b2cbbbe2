"""Broker and daemon of the tour: two children in a temporary folder, as a user would run them."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.config import Config
from edge.demo.broker import tour_broker
from edge.demo.children import running
from edge.errors import ReminisceError
from edge.mqtt import Requester, Topics
from edge.signals import signals_held

_DEVICE = "demo"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running device, connected. broker: what it is called; pid: the daemon's."""

    client: Requester
    broker: str
    pid: int


@contextmanager
def tour_stack(config: Config, on_message: Callable[[str, bytes], None], within: Sequence[str] = ()) -> Iterator[Stack]:
    """Runs in between; all of it is gone afterwards. Raises BrokerError, ReminisceError.

    on_message: what comes on `event` and `state`, in the client's thread
    within:     words before the daemon's command, of a program that limits it and becomes it
    """
    with _temporary_folder() as name:
        folder, topics = Path(name), Topics(_DEVICE)
        with tour_broker(folder) as (mqtt, broker):
            file = folder / "config.yaml"
            file.write_text(_config_text(config, mqtt_fields=dataclasses.asdict(mqtt), folder=folder), encoding="utf-8")
            command = [*within, sys.executable, "-m", "edge", "run", "--config", str(file)]
            listen = (topics.event, topics.state)
            with (
                running("daemon", command, folder) as daemon,
                Requester(mqtt, topics, None, listen=listen, on_message=on_message) as client,
            ):
                daemon.wait_until(lambda: client.status == "online")
                yield Stack(client, broker, daemon.process.pid)


def _config_text(config: Config, mqtt_fields: dict[str, object], folder: Path) -> str:
    fields = dataclasses.asdict(config) | {"device": _DEVICE, "state": str(folder / "state"), "mqtt": mqtt_fields}
    fields["remember"] |= {"min_free_mb": 0}  # a tour ends before it fills a disk
    fields["bundle"] = config.bundle and str(Path(config.bundle).absolute())  # the daemon runs in another folder
    return json.dumps(fields)  # which is YAML, too


@contextmanager
def _temporary_folder() -> Iterator[str]:
    try:
        with signals_held():  # it tries the place out with a file first, which a signal in between would leave there
            folder = tempfile.TemporaryDirectory(prefix="reminisce-")
    except OSError as error:
        raise ReminisceError(
            f"no temporary folder can be made ({error.strerror}): set TMPDIR to one with room"
        ) from None
    try:
        yield folder.name
    finally:
        with signals_held():
            folder.cleanup()
