"""A bounded queue between two threads that either of them can close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """What one thread puts and one other takes, in order; whoever waits at a closed lane goes on."""

    def __init__(self, most: int) -> None:
        """At most so many entries wait."""
        self._most = most
        self._entries: deque[T] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def wait_for_room(self) -> bool:
        """Return once `put` would not wait; False when it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._entries) < self._most)
            return not self._is_closed

    def put(self, entry: T) -> bool:
        """Wait for room; False, and the entry is gone, when it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._entries) < self._most)
            if not self._is_closed:
                self._entries.append(entry)
                self._changed.notify_all()
            return not self._is_closed

    def get(self, seconds: float | None = None) -> T | None:
        """Wait for the next entry; None when there was none within `seconds`, or it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._entries, seconds)
            if not self._entries:
                return None
            entry = self._entries.popleft()
            self._changed.notify_all()
            return entry

    def close(self) -> None:
        """Nothing more comes in; what is there can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
