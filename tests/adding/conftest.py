"""A daemon that is none: it hears what is sent, and answers as a test wants it to."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import reach
from edge.adding import Uploader
from edge.config import MqttConfig
from edge.mqtt import Outgoing, Requester, Topics
from edge.mqtt.link import Handlers, Incoming, Link, Session
from waiting import wait_until

TOPICS = Topics("dev1")


class Pretender:
    """A context manager: online in between. It takes everything and embeds it at once.

    asked:      digests that it was asked about, in order
    taken:      contents that came; kept: those that are there now
    modalities: what they were sent as
    sources:    what was said of where they come from; file_ts: of when their files changed
    on_ask:     what it answers to the question of this name; a test may put another in its place
    on_content: the same of a content
    """

    def __init__(self, mqtt: MqttConfig) -> None:
        self.asked: list[str] = []
        self.taken: list[bytes] = []
        self.kept: set[str] = set()
        self.modalities: list[str] = []
        self.sources: list[str] = []
        self.file_ts: list[float] = []
        self.on_ask: Callable[[str, str], Iterable[Mapping[str, Any]]] = self.look
        self.on_content: Callable[[str, bytes], Iterable[Mapping[str, Any]]] = self.keep
        self._is_up = False
        session = Session(client_id=f"test-{os.urandom(8).hex()}", subscriptions=(TOPICS.ingest, TOPICS.raw("+")))
        self._link = Link(mqtt, None, session, Handlers(on_message=self._came, on_up=self._up))

    def look(self, name: str, digest: str) -> list[Mapping[str, Any]]:
        """The right answer to a question."""
        return [{"type": "duplicate" if digest in self.kept else "unknown", "id": name, "item": digest}]

    def keep(self, name: str, content: bytes) -> list[Mapping[str, Any]]:
        """The right answer to a content."""
        item = hashlib.sha256(content).hexdigest()
        if item in self.kept:
            return [{"type": "duplicate", "id": name, "item": item}]
        self.kept.add(item)
        return [{"type": "accepted", "id": name, "item": item}, {"type": "indexed", "item": item}]

    def tell(self, *events: Mapping[str, Any]) -> None:
        for event in events:
            self._link.publish(Outgoing(TOPICS.event, json.dumps(event).encode()))

    def say(self, topic: str, payload: bytes) -> None:
        self._link.publish(Outgoing(topic, payload, is_retained=True))

    def __enter__(self) -> Pretender:
        self._link.start()
        wait_until(lambda: self._is_up, "that the pretended daemon is up")
        self.say(TOPICS.status, b"online")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._link.stop()

    def _up(self) -> None:
        self._is_up = True

    def _came(self, message: Incoming) -> None:
        if message.topic == TOPICS.ingest:
            self._came_as_json(json.loads(message.payload))
            return
        said = dict(message.user)
        self.modalities.append(TOPICS.modality(message.topic) or "")
        self.sources.append(said["source"])
        self.file_ts.append(float(said["file_ts"]))
        self.taken.append(message.payload)
        self.tell(*self.on_content(said["id"], message.payload))

    def _came_as_json(self, fields: dict[str, Any]) -> None:
        if "sha256" in fields:
            self.asked.append(fields["sha256"])
            self.tell(*self.on_ask(fields["id"], fields["sha256"]))
        else:
            self.sources.append(fields["source"])
            self.modalities.append(fields["modality"])
            self.file_ts.append(fields["file_ts"])
            self.taken.append(base64.b64decode(fields["data"], validate=True))
            self.tell(*self.on_content(fields["id"], self.taken[-1]))


@pytest.fixture
def pretender(mosquitto: Mosquitto) -> Iterator[Pretender]:
    with Pretender(reach(mosquitto)) as pretender:
        yield pretender


@pytest.fixture
def connect(mosquitto: Mosquitto) -> Callable[..., AbstractContextManager[Requester]]:
    """Makes the client of an uploader; further arguments change how it reaches the broker."""

    def connect(uploader: Uploader, **changes: Any) -> Requester:
        listen = (TOPICS.event, TOPICS.state)
        return Requester(reach(mosquitto, **changes), TOPICS, None, listen=listen, on_message=uploader.heard)

    return connect


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five files of different contents. What is in them is for the daemon to judge."""
    found = [tmp_path / f"{number}.jpg" for number in range(5)]
    for file in found:
        file.write_bytes(file.name.encode() * 100)
    return found
