"""A line of the log that anybody can provoke as often as he likes: said at once, then with a count now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_AGAIN_S = 60.0  # at a line a message one client fills the journal, and what others need to read falls out of it


class Seldom:
    """Lines of one kind, from any thread: the first is said; of those that follow, one a minute with their count."""

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        """`now` is monotonic, in seconds."""
        self._log, self._now = log, now
        self._lock = threading.Lock()
        self._next_at: float | None = None
        self._unsaid = 0

    def say(self, level: int, line: str, *values: object) -> None:
        """As `Logger.log` does, unless the last was said less than a minute ago: then it is only counted."""
        with self._lock:
            now = self._now()
            if self._next_at is not None and now < self._next_at:
                self._unsaid += 1
                return
            unsaid, self._unsaid, self._next_at = self._unsaid, 0, now + _AGAIN_S
        more = f" (and {unsaid} times more since this was said last)" if unsaid else ""
        self._log.log(level, line + "%s", *values, more)
