"""What is to be done once the broker has a message of ours."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_EARLY = 256  # more than are sent between a message and the word that somebody waits for it


class Deliveries:
    """Of one client, which gives a message its number only while sending it: the broker's answer may be here first.

    Any thread may call; nothing is called back under a lock.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Callable[[], None]] = {}
        self._early: deque[int] = deque(maxlen=_EARLY)
        self._lock = threading.Lock()

    def expect(self, number: int, then: Callable[[], None]) -> None:
        """Call `then` when the broker has the message, which was just sent: now, if it has it already."""
        with self._lock:
            is_there = number in self._early
            if is_there:
                self._early.remove(number)
            else:
                self._waiting[number] = then
        if is_there:
            then()

    def arrived(self, number: int) -> None:
        """The broker has a message, that somebody waits for or not."""
        with self._lock:
            then = self._waiting.pop(number, None)
            if then is None:
                self._early.append(number)
        if then is not None:
            then()
