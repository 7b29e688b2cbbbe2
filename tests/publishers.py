"""A client for tests that sends items and keeps account: what was sent, what the broker took, what the daemon said."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config import MqttConfig
from edge.mqtt import Topics, read_password
from waiting import wait_until

SETTLED = ("accepted", "duplicate")
PATIENCE_S = 60.0  # of a test on a slow and busy board


@dataclass(frozen=True, slots=True)
class Told:
    """A message of the daemon: `event`, `state`, `status` or `reply`, its JSON fields (status: {"status": ...}).

    at: seconds of the monotonic clock
    """

    at: float
    topic: str
    fields: dict[str, Any]


class Publisher:
    """A context manager: connected in between, and again by itself. MQTT 5.

    The broker keeps its session, so that it misses no event while its own connection is away.
    """

    def __init__(self, mqtt: MqttConfig, topics: Topics) -> None:
        self.topics, self._mqtt = topics, mqtt
        self.sent: dict[str, int] = {}  # message numbers by the item's SHA-256 in hex, in the order of sending
        self.heard: list[Told] = []
        self._taken: dict[int, int] = {}  # how the broker answered, by message number
        self._is_up = threading.Event()
        name = f"test-{os.urandom(8).hex()}"
        self.mine = topics.reply(name, "answer")
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(1000)
        if mqtt.username is not None:
            self._client.username_pw_set(mqtt.username, read_password(mqtt, None))
        self._client.on_connect, self._client.on_message = self._connected, self._came
        self._client.on_publish = self._took

    def send(self, content: bytes) -> str:
        """Publish an item; returns its SHA-256 in hex."""
        digest = hashlib.sha256(content).hexdigest()
        self.sent[digest] = self._client.publish(self.topics.raw("image"), content, qos=1).mid
        return digest

    def ask(self, topic: str, **fields: Any) -> str:
        """Publish a question or an order, whose reply is heard; returns its id."""
        name = os.urandom(8).hex()
        payload = json.dumps({"id": name, "reply_to": self.mine, **fields})
        self._client.publish(topic, payload, qos=1)
        return name

    def told(self, *types: str) -> set[str]:
        """Items that there was an event of these types about."""
        return {event["item"] for event in self.events(*types)}

    def events(self, *types: str) -> list[dict[str, Any]]:
        """In the order in which they came."""
        return [one.fields for one in list(self.heard) if one.fields.get("type") in types]

    def replies(self, name: str) -> list[dict[str, Any]]:
        """All that answered what `ask` returned the id of."""
        return [one.fields for one in list(self.heard) if one.topic == self.mine and one.fields.get("id") == name]

    def last(self, topic: str) -> dict[str, Any]:
        """What was heard last on a topic; empty for nothing."""
        return next((one.fields for one in reversed(list(self.heard)) if one.topic == topic), {})

    def taken_by_broker(self) -> set[str]:
        """Items that the broker has acknowledged."""
        return {digest for digest, number in self.sent.items() if self._taken.get(number) == 0}

    def await_told(self, items: Iterable[str], *types: str, timeout_s: float = PATIENCE_S) -> None:
        """Return when there was such an event about each. Raises AssertionError."""
        missing = set(items)
        wait_until(lambda: not missing - self.told(*types), lambda: f"{types} of {missing}", timeout_s)

    def await_first(self, items: Iterable[str], *types: str, timeout_s: float = PATIENCE_S) -> None:
        """Return when there was such an event about any. Raises AssertionError."""
        wait_until(lambda: set(items) & self.told(*types), f"any {types}", timeout_s)

    def __enter__(self) -> Publisher:
        properties: Properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect(self._mqtt.host, self._mqtt.port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._is_up.wait(PATIENCE_S), "the broker does not let us in"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if not code.is_failure:
            topics = self.topics
            client.subscribe([(name, 1) for name in (topics.event, topics.status, topics.state, self.mine)])
            self._is_up.set()

    def _came(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        is_status = message.topic == self.topics.status
        fields = {"status": message.payload.decode()} if is_status else json.loads(message.payload)
        self.heard.append(Told(time.monotonic(), message.topic, fields))

    def _took(self, _client: paho.Client, _data: Any, number: int, code: ReasonCode, _properties: Any) -> None:
        self._taken[number] = code.value


def distinct(pictures: list[Path]) -> Iterator[bytes]:
    """The shipped pictures, again and again: what stands behind a JPEG's end makes each another item."""
    contents = [picture.read_bytes() for picture in pictures]
    for number in itertools.count():
        yield contents[number % len(contents)] + number.to_bytes(4, "big")
