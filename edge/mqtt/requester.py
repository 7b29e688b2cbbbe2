"""The other side: what the command line, a test or a benchmark talks to the daemon with."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from edge.config import MqttConfig
from edge.errors import BrokerError, RefusedError
from edge.mqtt.link import Handlers, Incoming, Link, Outgoing, Session
from edge.mqtt.replies import OFFLINE, ONLINE, encode
from edge.mqtt.topics import Topics

CONNECT_S = 10  # how long the broker may take
_BROKEN_OFF = 3  # connections that the broker ended at one message before it is taken for the reason


class Requester:
    """A context manager: connected in between. Any thread may ask; answers are told apart by their `id`.

    listen: further topics; what comes there goes to `on_message`, in the client's thread
    """

    def __init__(
        self,
        config: MqttConfig,
        topics: Topics,
        password: str | None,
        *,
        listen: tuple[str, ...] = (),
        on_message: Callable[[str, bytes], None] = lambda _topic, _payload: None,
    ) -> None:
        self.topics = topics
        self._config, self._on_message = config, on_message
        name = f"reminisce-cli-{os.getpid()}-{os.urandom(4).hex()}"
        self._mine = topics.reply(name, "answer")
        self._waiting: dict[str, queue.SimpleQueue[dict[str, Any]]] = {}
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._is_up = threading.Event()
        self._is_online = threading.Event()
        self._made = 0  # connections since something was achieved
        # `info` before `status`: by the time that the device is known to be online, what it is is known, too.
        subscriptions = tuple(dict.fromkeys((self._mine, topics.info, topics.status, *listen)))
        session = Session(client_id=name, subscriptions=subscriptions)
        handlers = Handlers(on_message=self._came, on_up=self._up, on_down=self._down)
        self._link = Link(config, password, session, handlers)
        self.status = ""
        self._device_is_v5 = True

    def __enter__(self) -> Requester:
        """Raises BrokerError when there is no connection within CONNECT_S."""
        self._link.start()
        try:
            self._wait_for_connection()
        except BaseException:
            self._link.stop(timeout_s=0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.stop(timeout_s=0)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._link.is_up

    @property
    def carries_properties(self) -> bool:
        """Whether user properties of a message reach the device: with MQTT 5 on both sides."""
        return self._link.is_v5 and self._device_is_v5

    @property
    def largest_payload(self) -> int:
        """Bytes of a payload that the broker and the daemon take."""
        return self._link.largest_payload

    def wait_until_online(self, timeout_s: float) -> None:
        """Raises BrokerError when the device does not say that it is online."""
        if not self._is_online.wait(timeout_s):
            said = f"is {self.status}" if self.status else "has never been heard of"
            raise BrokerError(
                f"the device {self.topics.device!r} {said} at this broker:"
                " is `reminisce run` up, with this `device` and broker in its config?"
            )

    def send(self, message: Outgoing) -> None:
        """Publish. Raises RefusedError when it is too large, BrokerError as `check` does."""
        self.check()
        self._link.publish(message)

    def check(self) -> None:
        """Raises BrokerError when the broker keeps breaking off, without anything achieved in between."""
        if self._made > _BROKEN_OFF:
            raise BrokerError(
                f"the broker at {self._address} closed the connection {self._made - 1} times: its log says why"
                " (for mosquitto: max_packet_size below 8650752, or a topic that the ACL forbids)"
            )

    def heard(self) -> None:
        """Something was achieved: connections lost before do not count any more."""
        self._made = 1

    def request(self, topic: str, fields: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send a question or an order, wait for its reply. Raises RefusedError with the daemon's error, BrokerError."""
        for reply in self.stream(topic, fields, timeout_s):
            last = reply
        return last

    def stream(self, topic: str, fields: Mapping[str, Any], timeout_s: float) -> Iterator[dict[str, Any]]:
        """The same for a question that says `stream`: each reply as it comes, `timeout_s` after the one before."""
        name = os.urandom(8).hex()
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting[name] = answers
        try:
            # `reply_to` and `id` inside the payload are for 3.1.1; with MQTT 5 they are right as well.
            payload = encode({"id": name, "reply_to": self._mine, **fields})
            self.send(Outgoing(topic, payload, reply_topic=self._mine, correlation=name.encode()))
            sequence = -1
            is_final = False
            while not is_final:
                reply = self._wait_for_answer(answers, timeout_s)
                if error := reply.get("error"):
                    raise RefusedError(error["code"], error["message"])
                is_final = reply.get("final") is not False
                # At least once: what the broker sent again may come behind what is newer.
                number = reply.get("sequence", sequence + 1)
                if is_final or number > sequence:
                    sequence = number
                    yield reply
        finally:
            del self._waiting[name]

    @property
    def _address(self) -> str:
        return self._config.socket or f"{self._config.host}:{self._config.port}"

    def _wait_for_answer(self, answers: queue.SimpleQueue[dict[str, Any]], timeout_s: float) -> dict[str, Any]:
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            with suppress(queue.Empty):
                return answers.get(timeout=min(left, 1.0))
            if self.status == OFFLINE.decode():
                break
        why = "is offline" if self.status == OFFLINE.decode() else f"did not answer within {timeout_s:.0f} s"
        raise BrokerError(f"the device {self.topics.device!r} {why}: is `reminisce run` up, and may we use its topics?")

    def _wait_for_connection(self) -> None:
        end = time.monotonic() + CONNECT_S
        while not self._is_up.is_set():
            try:
                reason = self._news.get(timeout=0.02)
            except queue.Empty:
                if time.monotonic() < end:
                    continue
                reason = "it does not answer (one that knows only MQTT 3.1.1 needs `mqtt.protocol: 3.1.1`)"
            raise BrokerError(f"the broker at {self._address} cannot be used: {reason}; {self._hint(reason)}")

    def _hint(self, reason: str) -> str:
        if "refuses" not in reason:
            return "is it running, and is `mqtt` in the config right?"
        if self._config.username is None:
            return "does it want `mqtt.username` and `mqtt.password_file`?"
        return f"are `mqtt.username` ({self._config.username}) and `mqtt.password_file` right?"

    def _up(self) -> None:
        self._made += 1
        self._is_up.set()

    def _down(self, reason: str) -> None:
        if not self._is_up.is_set():
            self._news.put(reason)

    def _came(self, message: Incoming) -> None:
        if message.topic == self.topics.info:
            self._device_is_v5 = _fields(message.payload).get("protocol") != "3.1.1"
        if message.topic == self.topics.status:
            self.status = message.payload.decode(errors="replace")
            self._is_online.set() if message.payload == ONLINE else self._is_online.clear()
        if message.topic != self._mine:
            self._on_message(message.topic, message.payload)
            return
        reply = _fields(message.payload)
        waiting = self._waiting.get(str(reply.get("id")))
        if waiting is not None:
            waiting.put(reply)


def _fields(payload: bytes) -> dict[str, Any]:
    """Empty for what is no JSON object: anybody who may publish there could have said it."""
    with suppress(ValueError):
        fields = json.loads(payload)
        if isinstance(fields, dict):
            return fields
    return {}
