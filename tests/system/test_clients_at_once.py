"""Eight clients at once, while the daemon remembers: each is served, none more than the others, nothing is lost."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from edge.config import MqttConfig
from edge.mqtt import Outgoing, Topics
from edge.mqtt.link import Handlers, Incoming, Link, Session
from publishers import Publisher, distinct
from waiting import wait_until

pytestmark = pytest.mark.slow
CLIENTS = 8
WAITING = 32  # places for questions: four of each client, fewer than two of them want
AT_ONCE = (4, 4, 4, 4, 4, 4, 8, 60)  # questions that each has on the way
ENOUGH = 20  # answers of the slowest client
PATIENCE_S = 120.0
RETRY_S = 0.5


class Asker:
    """A client that always has `at_once` questions on the way, and asks again what was `busy`. A context manager.

    answered: replies with results, by question; busy: the messages of the refusals; others: what should not come
    """

    def __init__(self, mqtt: MqttConfig, topics: Topics, name: str, at_once: int) -> None:
        self._topics, self._name, self._at_once = topics, name, at_once
        self.answered: Counter[str] = Counter()
        self.asked: set[str] = set()
        self.busy: list[str] = []
        self.others: list[dict[str, Any]] = []
        self._is_up, self._lock = threading.Event(), threading.Lock()
        self._is_stopping = False
        self._mine = topics.reply(name, "answers")
        session = Session(client_id=name, subscriptions=(self._mine,))
        self._link = Link(mqtt, None, session, Handlers(on_message=self._came, on_up=self._is_up.set))

    def __enter__(self) -> Asker:
        self._link.start()
        assert self._is_up.wait(PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._link.stop()

    def begin(self) -> None:
        for _ in range(self._at_once):
            self._ask_another()

    def finish(self) -> None:
        """Ask nothing new, and wait until all that was asked is answered."""
        with self._lock:
            self._is_stopping = True
        wait_until(lambda: set(self.answered) == self.asked, f"all answers of {self._name}", PATIENCE_S)

    def _ask_another(self) -> None:
        with self._lock:
            if self._is_stopping:
                return
            name = f"{self._name}-{len(self.asked)}"
            self.asked.add(name)
        self._ask(name)

    def _ask(self, name: str) -> None:
        payload = json.dumps({"id": name, "text": f"a dog and {name}", "reply_to": self._mine}).encode()
        self._link.publish(Outgoing(self._topics.query, payload))

    def _came(self, message: Incoming) -> None:
        reply = json.loads(message.payload)
        error = reply.get("error")
        if error is None and reply["final"]:
            self.answered[reply["id"]] += 1
            self._ask_another()
        elif error is not None and error["code"] == "busy":
            self.busy.append(error["message"])
            threading.Timer(RETRY_S, self._ask, (reply["id"],)).start()  # as it was told: later
        else:
            self.others.append(reply)


def feed(publisher: Publisher, pictures: Iterator[bytes], stop: threading.Event) -> None:
    """Always something to remember."""
    while not stop.wait(0.02):
        if len(publisher.sent) - len(publisher.told("indexed", "rejected")) < 64:
            publisher.send(next(pictures))


def test_eight_clients_at_once_are_all_answered_and_the_slowest_gets_half_of_the_fastest(
    mosquitto: Mosquitto, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, mqtt = {"recall": {"pool": 4, "waiting": WAITING}}, reach(mosquitto)
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(folder=tmp_path / "daemon", mqtt=mqtt, config=config))
        publisher = stack.enter_context(Publisher(mqtt, daemon.topics))
        askers = [
            stack.enter_context(Asker(mqtt, daemon.topics, f"client{number}", at_once))
            for number, at_once in enumerate(AT_ONCE)
        ]
        stop = threading.Event()
        feeder = threading.Thread(target=feed, args=(publisher, distinct(pictures), stop))
        feeder.start()
        try:
            wait_until(lambda: publisher.told("indexed"), "the first item", PATIENCE_S)
            remembered = len(publisher.told("indexed"))
            for asker in askers:
                asker.begin()
            wait_until(lambda: min(len(one.answered) for one in askers) >= ENOUGH, "answers for all", PATIENCE_S)
            counts = [len(one.answered) for one in askers]
            remembered = len(publisher.told("indexed")) - remembered
            for asker in askers:
                asker.finish()
        finally:
            stop.set()
            feeder.join()
    with capsys.disabled():
        busy = sum(len(one.busy) for one in askers)
        sys.stdout.write(f"\nanswers {counts}, {busy} times busy, {remembered} items remembered meanwhile\n")
    assert min(counts) * 2 >= max(counts)
    assert remembered > 0
    assert [one.others for one in askers] == [[]] * CLIENTS
    assert {count for one in askers for count in one.answered.values()} == {1}
    assert all(set(one.answered) == one.asked for one in askers)
    assert askers[-1].busy
    assert all("again later" in message for one in askers for message in one.busy)
