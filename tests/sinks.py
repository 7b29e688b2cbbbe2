"""What stands behind the two clients of the device in their tests: small, in place of inbox, questions and daemon."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from brokers import Mosquitto
from edge.config import MqttConfig
from edge.errors import RefusedError
from edge.items import Answer, Instruction, Offer, Question, Verdict
from edge.mqtt import Desk, Ingest, Topics
from waiting import wait_until

TOPICS = Topics("dev1")
NOTHING = Answer(
    question="", hits=(), searched=0, refined=0, cut=False, query_ms=0, filter_ms=0, correct_ms=0
)  # fmt: skip


@dataclass(slots=True)
class Taken:
    """An offer that was taken, and what to call when its fate is known."""

    offer: Offer
    settle: Callable[[Verdict], None]
    is_settled: bool = False

    def accept(self) -> None:
        """As the inbox does after a commit."""
        self.is_settled = True
        self.settle(Verdict("accepted", hashlib.sha256(self.offer.content or b"").digest()))


@dataclass(slots=True)
class Offers:
    """An inbox of `room` offers that are not settled; counts what it refused, and the most that it held."""

    room: int = 1_000
    taken: list[Taken] = field(default_factory=list)
    refused: int = 0
    most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, offer: Offer, settle: Callable[[Verdict], None]) -> bool:
        with self._lock:
            if len(self.unsettled) >= self.room:
                self.refused += 1
                return False
            self.taken.append(Taken(offer, settle))
            self.most = max(self.most, len(self.unsettled))
            return True

    @property
    def unsettled(self) -> list[Taken]:
        return [one for one in self.taken if not one.is_settled]

    @property
    def contents(self) -> list[bytes | None]:
        return [one.offer.content for one in self.taken]

    def wait_for(self, count: int) -> list[Taken]:
        """What was taken, once it is that much."""
        wait_until(lambda: len(self.taken) >= count, lambda: f"{count} offers, but {len(self.taken)}")
        return self.taken


@dataclass(slots=True)
class Events:
    """What was published; the broker has each at once, or when the test says so."""

    arrive: bool = True
    told: list[bytes] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)

    def tell(self, payload: bytes, then: Callable[[], None] | None = None) -> None:
        self.told.append(payload)
        if then is not None:
            self.then.append(then)
            if self.arrive:
                then()

    @property
    def fields(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.told]


@contextmanager
def ingest_client(config: MqttConfig, offer: Callable[..., bool], events: Events | None = None) -> Iterator[Ingest]:
    """The device's ingest, connected in between."""
    ups: list[bool] = []
    ingest = Ingest(config, TOPICS, None, tell=(events or Events()).tell, on_up=lambda: ups.append(True))
    ingest.start(offer)
    try:
        wait_until(lambda: ups, "a connection")
        yield ingest
    finally:
        ingest.stop()


def break_off(client: Ingest | Desk) -> None:
    """Its connection ends as when the network fails; it is made again a second later."""
    opened = client._link._client.socket()
    assert isinstance(opened, socket.socket)
    opened.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not client._link.is_up, "the connection ends")


def wait_left(broker: Mosquitto, times: int = 1) -> None:
    """Return when the broker has read the last word of the device's ingest: a new client of that name cuts it off."""
    said = "Client reminisce-dev1-ingest disconnected"
    wait_until(lambda: broker.log.read_text().count(said) >= times, "the broker notices that ingest has left")


@dataclass(slots=True)
class Asked:
    """A queue of questions and orders of `room` each; each is answered at once with `answer`, or by the test."""

    room: int = 1_000
    answer: Answer | RefusedError | None = NOTHING
    questions: list[Question] = field(default_factory=list)
    replies: list[Callable[[Answer | RefusedError], None]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def ask(self, question: Question, reply: Callable[[Answer | RefusedError], None]) -> bool:
        if len(self.questions) >= self.room:
            return False
        self.questions.append(question)
        self.replies.append(reply)
        if self.answer is not None:
            reply(self.answer)
        return True

    def order(self, what: Instruction, reply: Callable[[dict[str, Any]], None]) -> bool:
        if len(self.orders) >= self.room:
            return False
        self.orders.append(what.op)
        reply({"op": what.op, "paused": what.op == "pause"})
        return True


@contextmanager
def desk_client(config: MqttConfig, asked: Asked, info: bytes = b'{"v":1}') -> Iterator[Desk]:
    """The device's desk, in between connected and `online`; it says `offline` at the end."""
    desk = Desk(config, TOPICS, None, limit=5)
    desk.start(info, asked.ask, asked.order)
    desk.announce()
    try:
        wait_until(lambda: desk._link.is_up and desk._orders.is_up, "two connections")
        yield desk
    finally:
        desk.stop()
