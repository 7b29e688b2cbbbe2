"""What the main thread is told: by signals, by the owner over MQTT, by a thread that failed. One bounded queue."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

_ORDERS = 64  # that may wait


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class Reload:
    """SIGHUP."""


@dataclass(frozen=True, slots=True)
class Order:
    """From the control topic."""

    op: str
    reply: Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """A thread ended with this."""

    error: BaseException


Command: TypeAlias = "Stop | Reload | Order | Failure"


class Commands:
    """Any thread may put in, and signal handlers too: they run in the main thread, between two of its steps."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def catch_signals(self) -> None:
        """From now on SIGTERM and SIGINT stop, SIGHUP reloads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._queue.put(Stop()))
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._queue.put(Reload()))

    def ignore_signals(self) -> None:
        """From now on they do nothing: while Python ends, an impatient second SIGTERM would make a failure of it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def failed(self, error: BaseException) -> None:
        """A thread ended."""
        self._queue.put(Failure(error))

    def order(self, op: str, reply: Callable[[dict[str, Any]], None]) -> bool:
        """False when there is no room."""
        if self._queue.qsize() >= _ORDERS:
            return False
        self._queue.put(Order(op, reply))
        return True

    def next(self, timeout_s: float) -> Command | None:
        """The next of them; None when there was none in time."""
        try:
            return self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
