"""Another client of a test's broker, of paho alone: it hears everything, and says whatever a test wants said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from waiting import SECONDS, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as it came; the last two are of MQTT 5 alone."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool
    correlation: bytes | None
    user: tuple[tuple[str, str], ...]

    @property
    def fields(self) -> dict[str, Any]:
        """Of a payload that is a JSON object."""
        fields = json.loads(self.payload)
        assert isinstance(fields, dict)
        return fields


class Onlooker:
    """A context manager: connected and subscribed in between, without users and TLS."""

    def __init__(self, port: int, protocol: int = 5, topics: str = "#") -> None:
        self.heard: list[Heard] = []
        self._is_v5 = protocol == 5
        self._port, self._topics = port, topics
        self._is_subscribed = threading.Event()
        version = paho.MQTTv5 if self._is_v5 else paho.MQTTv311
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, 1)
        self._client.on_subscribe = lambda *_: self._is_subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.heard.append(_heard(message))

    def __enter__(self) -> Onlooker:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._is_subscribed.wait(SECONDS), "the broker does not answer"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        is_retained: bool = False,
        reply_topic: str | None = None,
        correlation: bytes | None = None,
        user: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Publish; with QoS 1, return when the broker has it."""
        properties: Properties | None = None
        if self._is_v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            given = {"ResponseTopic": reply_topic, "CorrelationData": correlation, "UserProperty": list(user) or None}
            for name, value in given.items():
                if value is not None:
                    setattr(properties, name, value)
        sent = self._client.publish(topic, payload, qos, is_retained, properties)
        sent.wait_for_publish(SECONDS)
        assert sent.is_published()

    def say_all(self, topic: str, payloads: Iterable[bytes]) -> None:
        """Publish with QoS 1, return when the broker has them all: faster than one after another."""
        sent = [self._client.publish(topic, payload, 1) for payload in payloads]
        for one in sent:
            one.wait_for_publish(SECONDS)
            assert one.is_published()

    def on(self, topic: str) -> list[Heard]:
        """What came on a topic so far."""
        return [one for one in self.heard if one.topic == topic]

    def wait_on(self, topic: str, count: int = 1) -> list[Heard]:
        """What came on a topic, once it is that much."""
        wait_until(lambda: len(self.on(topic)) >= count, f"{count} on {topic}")
        return self.on(topic)


def _heard(message: paho.MQTTMessage) -> Heard:
    return Heard(
        topic=message.topic,
        payload=bytes(message.payload),
        qos=message.qos,
        is_retained=message.retain,
        correlation=getattr(message.properties, "CorrelationData", None),
        user=tuple(getattr(message.properties, "UserProperty", ())),
    )
