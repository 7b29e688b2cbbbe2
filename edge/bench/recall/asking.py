"""Questions as a client puts them: through a broker to the device's desk and queue, and back; without one, directly.

Source: edge/daemon.py, whose parts these are. The client runs in the device's process, which makes it no faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge.bench.recall.baselines import Way
from edge.bench.recall.device import HITS, Device, Kept
from edge.config import MqttConfig
from edge.demo.broker import tour_broker
from edge.errors import BrokerError, RefusedError
from edge.items import Answer, Question
from edge.mqtt import Desk, Requester, Topics, encode
from edge.recall import Questions

_DEVICE = "bench"
_ONLINE_S, _ANSWER_S = 20, 120


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for the best ten, with `pool` of them finished.

    collapse: near-duplicates are one hit, as where a client does not say otherwise
    """

    text: str
    pool: int
    way: Way = "calibrated"
    deadline_ms: int | None = None
    collapse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer as the client has it.

    items:    ids of the hits, best first; refined: items of the pool that are known at the last exit
    total_ms: from the client's call to its answer; device_ms: of these, what the device says that it took
    """

    items: tuple[int, ...]
    refined: int
    total_ms: float
    device_ms: float


class Asking(Protocol):
    """A way to a device. One question at a time."""

    def ask(self, device: Device, what: Ask) -> Told:
        """Raises ReminisceError."""


class Directly:
    """Calls the retriever."""

    def ask(self, device: Device, what: Ask) -> Told:
        """See `Asking.ask`."""
        start = time.monotonic()
        deadline = None if what.deadline_ms is None else start + what.deadline_ms / 1e3
        question = Question(text=what.text, limit=HITS, refine=what.pool > 0, deadline=deadline, collapse=what.collapse)
        answer = device.retriever(what.pool, what.way).ask(question)
        took_ms = (time.monotonic() - start) * 1e3
        items = tuple(hit.item.id for hit in answer.hits)
        return Told(items=items, refined=answer.refined, total_ms=took_ms, device_ms=answer.total_ms)


class ThroughBroker:
    """A context manager: desk and client are connected in between. The devices must be open until it is left."""

    def __init__(self, mqtt: MqttConfig, failed: Callable[[BaseException], None]) -> None:
        topics = Topics(_DEVICE)
        self._desk, self._client = Desk(mqtt, topics, None, HITS), Requester(mqtt, topics, None)
        self._failed = failed
        self._queues: dict[tuple[Kept, int, Way], Questions] = {}
        self._asked: Questions | None = None
        self._stack = ExitStack()

    def __enter__(self) -> ThroughBroker:
        """Raises BrokerError."""
        with ExitStack() as stack:
            stack.callback(self._desk.stop)
            self._desk.start(encode({"device": _DEVICE}), self._take, lambda _what, _reply: False)
            self._desk.announce()  # it takes no items, and has nobody else who would say so
            stack.enter_context(self._client).wait_until_online(_ONLINE_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, device: Device, what: Ask) -> Told:
        """See `Asking.ask`."""
        key = device.job.kept, what.pool, what.way
        if key not in self._queues:
            queue = Questions(device.retriever(what.pool, what.way), 1, self._failed)
            self._queues[key] = self._stack.enter_context(queue)
        self._asked = self._queues[key]
        fields: dict[str, Any] = {"text": what.text, "limit": HITS, "refine": what.pool > 0}
        fields |= {"deadline_ms": what.deadline_ms, "collapse": what.collapse}
        start = time.monotonic()
        reply = self._client.request(self._client.topics.query, fields, _ANSWER_S)
        took_ms = (time.monotonic() - start) * 1e3
        found = [device.memory.find(bytes.fromhex(hit["item"])) for hit in reply["results"]]
        items = tuple(item.id for item in found if item)
        return Told(items=items, refined=reply["refined"], total_ms=took_ms, device_ms=reply["took_ms"])

    def _take(self, question: Question, reply: Callable[[Answer | RefusedError], None]) -> bool:
        return self._asked is not None and self._asked.ask(question, reply)


@contextmanager
def open_asking(mqtt: MqttConfig | None, failed: Callable[[BaseException], None]) -> Iterator[Asking]:
    """Through the broker, or directly where there is none. failed: gets what ended a thread. Raises BrokerError."""
    if mqtt is None:
        yield Directly()
        return
    with ThroughBroker(mqtt, failed) as asking:
        yield asking


@contextmanager
def open_broker(folder: Path) -> Iterator[tuple[MqttConfig | None, str]]:
    """That of the tour; yields how to connect, None without one, and what to say of it. Raises ReminisceError."""
    mqtt: MqttConfig | None = None
    with ExitStack() as stack:
        try:
            mqtt, name = stack.enter_context(tour_broker(folder))
            said = f"every question goes over MQTT: through {name} to the device's desk and queue, and back"
        except BrokerError as error:
            said = f"MQTT is left out: {error}"
        yield mqtt, said
