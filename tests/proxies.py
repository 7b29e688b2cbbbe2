"""A proxy between clients and a broker that fails as networks do, at the moment that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

_CHUNK = 65_536


@dataclass(slots=True, eq=False)
class Pipe:
    """One connection through the proxy.

    opening:   the first bytes of the client, which hold its id
    swallowed: bytes of the client that never reached the broker
    down_left: bytes that the client still gets, before the connection breaks off
    """

    client: socket.socket
    broker: socket.socket
    opening: bytes = b""
    swallowed: int = 0
    down_left: int | None = None
    loses_up: threading.Event = field(default_factory=threading.Event)
    loses_down: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        for end in (self.client, self.broker):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def pump_up(self) -> None:
        """From the client to the broker, until either ends."""
        for data in _chunks(self.client):
            self.opening = self.opening or data
            if self.loses_up.is_set():
                self.swallowed += len(data)
            elif not _sent(self.broker, data):
                break
        self.close()

    def pump_down(self) -> None:
        """From the broker to the client, until either ends."""
        for data in _chunks(self.broker):
            if not self.loses_down.is_set() and not _sent(self.client, data[: self.down_left]):
                break
            if self.down_left is not None:
                self.down_left = max(0, self.down_left - len(data))
                if not self.down_left:
                    break
        self.close()


class Proxy:
    """A context manager: listens on `port` in between. Plain TCP alone.

    Faults hold for the connections of that moment; those that are made later are sound.
    """

    def __init__(self, host: str, port: int) -> None:
        """Of the broker."""
        self._broker = (host, port)
        self._pipes: list[Pipe] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]

    def pipe(self, client: str) -> Pipe:
        """The newest connection of the client with this id."""
        id_ = len(client).to_bytes(2, "big") + client.encode()  # as it stands in the first packet
        return next(pipe for pipe in reversed(self._pipes) if id_ in pipe.opening)

    def lose_everything(self) -> None:
        """Both directions go silent, and nobody is told."""
        for pipe in self._pipes:
            pipe.loses_up.set()
            pipe.loses_down.set()

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads.pop(0).join()
        for pipe in self._pipes:
            pipe.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                pipe = Pipe(client, socket.create_connection(self._broker))
            except OSError:  # the broker is away: so are we
                client.close()
                continue
            self._pipes.append(pipe)
            pumps = [threading.Thread(target=pump, daemon=True) for pump in (pipe.pump_up, pipe.pump_down)]
            self._threads += pumps
            for pump in pumps:
                pump.start()


def _chunks(end: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := end.recv(_CHUNK):
            yield data


def _sent(end: socket.socket, data: bytes) -> bool:
    try:
        end.sendall(data)
    except OSError:
        return False
    return True
