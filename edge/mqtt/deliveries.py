"""What is to be done once the broker has a message of ours."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_EARLY, _EARLY_S = 256, 1.0  # more than are sent between a message and the word that somebody waits for it


class Deliveries:
    """Of one client, which gives a message its number only while sending it: the broker's answer may be here first.

    Any thread may call; nothing is called back under a lock.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Callable[[], None]] = {}
        self._early: deque[tuple[int, float]] = deque(maxlen=_EARLY)
        self._lock = threading.Lock()

    def expect(self, number: int, then: Callable[[], None]) -> None:
        """Call `then` when the broker has the message, which was just sent: now, if it has it already."""
        with self._lock:
            since = time.monotonic() - _EARLY_S
            fresh = [one for one in self._early if one[1] >= since]  # numbers come again: an old one is another message
            is_there = number in [early for early, _ in fresh]
            self._early = deque((one for one in fresh if one[0] != number), _EARLY)
            if not is_there:
                self._waiting[number] = then
        if is_there:
            then()

    def arrived(self, number: int) -> None:
        """The broker has a message, that somebody waits for or not."""
        with self._lock:
            then = self._waiting.pop(number, None)
            if then is None:
                self._early.append((number, time.monotonic()))
        if then is not None:
            then()
