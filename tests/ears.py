"""A client that hears all that a daemon says, and counts what it must say exactly once."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from edge.config import MqttConfig
from edge.mqtt.link import Handlers, Incoming, Link, Outgoing, Session
from edge.mqtt.topics import Topics

MINE = "hostile"  # the client, in reply topics, whose replies are counted; others ask for themselves
VERDICTS = {"accepted", "duplicate", "unknown", "rejected"}
LONGEST_WAIT_S = 120
_INSIDES = re.compile(rb"Traceback|File \\?\"|\.py\b|[a-z]Error\b|[a-z]Exception\b|<class |object at 0x|site-packages")


class Ears:
    """A context manager: connected in between.

    replies:  to MINE, by correlation, or else by topic
    codes:    of the errors in those replies and in events; "ok" of a reply without
    verdicts: by the id that a message gave itself; None of messages whose id could not be read
    outcomes: of accepted items
    topics:   that anything came to
    partial:  replies that were not the last, by correlation or topic
    told:     how the last reply with this correlation or topic, or the last verdict with this id, went: a code or "ok"
    lapses:   payloads that no client should see: no strict JSON, or with traces of a program's insides
    """

    def __init__(self, mqtt: MqttConfig, topics: Topics) -> None:
        self.replies: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.verdicts: Counter[str | None] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
        self.partial: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        self.lapses: list[bytes] = []
        self._topics, self._riding = topics, set[str]()
        self._changed = threading.Condition()
        self._is_up = threading.Event()
        session = Session(client_id=f"ears-{os.urandom(6).hex()}", subscriptions=("#",))
        self._link = Link(mqtt, None, session, Handlers(on_message=self._came, on_up=self._is_up.set))

    def __enter__(self) -> Ears:
        self._link.start()
        assert self._is_up.wait(LONGEST_WAIT_S)
        time.sleep(0.2)  # subscribed, too
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._link.stop()

    @property
    def is_v5(self) -> bool:
        return self._link.is_v5

    @property
    def replied(self) -> int:
        """Replies so far."""
        return sum(self.replies.values())

    @property
    def judged(self) -> int:
        """Verdicts so far."""
        return sum(self.verdicts.values())

    @property
    def riding(self) -> int:
        """Items that were accepted, and neither indexed nor rejected so far."""
        return len(self._riding)

    def say(self, message: Outgoing) -> None:
        """Publish."""
        self._link.publish(message)

    def shout(self, message: Outgoing) -> None:
        """Publish what is too large, which the client itself would refuse."""
        self._link._send(message).wait_for_publish(LONGEST_WAIT_S)

    def wait_for(self, is_so: Callable[[], bool], what: str) -> None:
        """Raises AssertionError when it does not come about."""
        with self._changed:
            assert self._changed.wait_for(is_so, LONGEST_WAIT_S), f"waited in vain: {what}"

    def rest(self, seconds: float = 0.5) -> None:
        """Time for what should not come."""
        time.sleep(seconds)

    def _came(self, message: Incoming) -> None:
        if message.is_retained:
            return
        with self._changed:
            self.topics[message.topic] += 1
            if message.topic == self._topics.event:
                self._event(self._read(message.payload))
            elif message.topic.startswith(self._topics.reply(MINE, "")):
                name = message.correlation.decode() if message.correlation else message.topic
                self._reply(name, self._read(message.payload))
            self._changed.notify_all()

    def _read(self, payload: bytes) -> dict[str, Any]:
        """What came must be JSON without NaN, which Python alone reads and writes."""
        if _INSIDES.search(payload):
            self.lapses.append(payload)
        try:
            fields: dict[str, Any] = json.loads(payload, parse_constant=_refuse)
        except ValueError:
            self.lapses.append(payload)
            raise
        return fields

    def _reply(self, name: str, reply: dict[str, Any]) -> None:
        if reply["final"] is not True:
            self.partial[name] += 1
            return
        self.replies[name] += 1
        self.told[name] = reply["error"]["code"] if "error" in reply else "ok"
        self.codes[self.told[name]] += 1

    def _event(self, event: dict[str, object]) -> None:
        kind, item, error = str(event["type"]), str(event.get("item")), event.get("error")
        if isinstance(error, dict):
            self.codes[error["code"]] += 1
        is_outcome = kind == "indexed" or (kind == "rejected" and "id" not in event and item in self._riding)
        if is_outcome:
            self._riding.discard(item)
            self.outcomes[kind] += 1
        elif kind in VERDICTS:
            id_ = event.get("id")
            self.verdicts[None if id_ is None else str(id_)] += 1
            if id_ is not None:
                self.told[str(id_)] = error["code"] if isinstance(error, dict) else "ok"
            if kind == "accepted":
                self._riding.add(item)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
