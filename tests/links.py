"""A link under test, with all that it said and all that came to it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

from brokers import Mosquitto
from edge.config import MqttConfig
from edge.mqtt.link import Handlers, Incoming, Link, Session
from waiting import wait_until

# Protocol and transport of a client.
WAYS = ((5, "tcp"), (5, "unix"), ("3.1.1", "tcp"), ("3.1.1", "unix"))


def mqtt_config(broker: Mosquitto, protocol: Any = 5, transport: str = "tcp", **more: Any) -> MqttConfig:
    """How to reach a broker of a test's."""
    socket = str(broker.socket) if transport == "unix" else None
    return MqttConfig(host=broker.host, port=broker.port, socket=socket, protocol=protocol, **more)


class LinkUnderTest:
    """A context manager: started in between, and connected if `waits`."""

    def __init__(
        self, config: MqttConfig, *topics: str, password: str | None = None, waits: bool = True, **session: Any
    ) -> None:
        self.came: list[Incoming] = []
        self.on_message: Callable[[Incoming], None] = self.came.append
        self.ups = 0
        self.downs: list[str] = []
        self._waits = waits
        client_id = f"test-{os.urandom(4).hex()}"
        self.session = dataclasses.replace(Session(client_id=client_id, subscriptions=topics), **session)
        handlers = Handlers(on_message=self._came, on_up=self._up, on_down=self.downs.append)
        self.link = Link(config, password, self.session, handlers)
        delay_s: Any = 0.1  # on a device a second and longer
        self.link._client.reconnect_delay_set(delay_s, delay_s)

    def __enter__(self) -> LinkUnderTest:
        self.link.start()
        if self._waits:
            self.wait_up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.link.stop()

    def _came(self, message: Incoming) -> None:
        self.on_message(message)

    def _up(self) -> None:
        self.ups += 1

    def wait_up(self, times: int = 1) -> None:
        wait_until(lambda: self.ups >= times, lambda: f"{times} connections, but {self.downs}")

    def wait_down(self) -> None:
        wait_until(lambda: not self.link.is_up, "the connection ends")

    def wait_for(self, count: int) -> list[bytes]:
        """The payloads that came, once they are that many."""
        wait_until(lambda: len(self.came) >= count, lambda: f"{count} messages, but {len(self.came)}")
        return [one.payload for one in self.came]
