"""The answers to a question that streams: the coarse one at once, then better ones, not too many of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from edge.items import Answer

EVERY_S = 0.1  # more often, and a slow client's line is full of what is out of date


class Stream:
    """Numbers them, and leaves out those that come too soon or say nothing new."""

    def __init__(self, send: Callable[[Answer], None], now: Callable[[], float] = time.monotonic) -> None:
        self._send, self._now = send, now
        self._last: Answer | None = None
        self._next = 0
        self._not_before = 0.0

    def better(self, make: Callable[[], Answer]) -> None:
        """`make` is called only where its answer might be sent."""
        if self._now() < self._not_before:
            return
        answer = make()
        if self._last and answer.hits == self._last.hits:
            return
        self._send(replace(answer, sequence=self._next, is_final=False))
        self._last, self._next = answer, self._next + 1
        self._not_before = self._now() + EVERY_S

    def final(self, answer: Answer) -> Answer:
        """The last one, to be sent by whoever asked."""
        return replace(answer, sequence=self._next)
