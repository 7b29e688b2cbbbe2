"""A client that hears all that a daemon says, and counts what it must say exactly once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from edge.config import MqttConfig
from edge.mqtt.link import Handlers, Incoming, Link, Outgoing, Session
from edge.mqtt.topics import Topics

MINE = "hostile"  # the client, in reply topics, whose replies are counted; others ask for themselves
VERDICTS = {"accepted", "duplicate", "unknown", "rejected"}
LONGEST_WAIT_S = 120


class Ears:
    """A context manager: connected in between.

    replies:  to MINE, by correlation, or else by topic
    codes:    of the errors in those replies and in events; "ok" of a reply without
    verdicts: by the id that a message gave itself; None of messages whose id could not be read
    outcomes: of accepted items
    topics:   that anything came to
    """

    def __init__(self, mqtt: MqttConfig, topics: Topics) -> None:
        self.replies: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.verdicts: Counter[str | None] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
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
                self._event(json.loads(message.payload))
            elif message.topic.startswith(self._topics.reply(MINE, "")):
                reply = json.loads(message.payload)
                assert reply["final"] is True
                self.replies[message.correlation.decode() if message.correlation else message.topic] += 1
                self.codes[reply["error"]["code"] if "error" in reply else "ok"] += 1
            self._changed.notify_all()

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
            if kind == "accepted":
                self._riding.add(item)
