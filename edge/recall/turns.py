"""Whose question is next: clients take turns, so that nobody waits behind all that another asks."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A bounded queue, each client's in order of arrival. Any thread may put, one takes."""

    def __init__(self, room: int) -> None:
        """At most `room` entries wait."""
        self._room = room
        self._count = 0
        self._clients: dict[str, deque[T]] = {}  # the next turn first
        self._changed = threading.Condition()
        self._closed = False

    def put(self, client: str, entry: T) -> list[T]:
        """Returns what has no room any more: nothing, or one entry that loses its place.

        That is the newest of the client with the most entries: this very one, where no other has more than this client.
        """
        with self._changed:
            if self._count == self._room:
                longest = max(self._clients, key=lambda name: len(self._clients[name]))
                if len(self._clients[longest]) <= len(self._clients.get(client, ())) + 1:
                    return [entry]
                displaced = [self._clients[longest].pop()]
            else:
                displaced = []
                self._count += 1
            self._clients.setdefault(client, deque()).append(entry)
            self._changed.notify()
            return displaced

    def take(self) -> T | None:
        """Waits for the next; None once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._count or self._closed)
            if not self._count:
                return None
            client = next(iter(self._clients))
            waiting = self._clients.pop(client)
            entry = waiting.popleft()
            self._count -= 1
            if waiting:
                self._clients[client] = waiting  # behind all others
            return entry

    def close(self) -> None:
        """Nothing is put any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
