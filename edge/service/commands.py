"""What the main thread is told: by signals, by the owner over MQTT, by a thread that failed."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge.errors import RefusedError
from edge.items import Instruction

Reply: TypeAlias = Callable[["dict[str, Any] | RefusedError"], None]
_ORDERS = 64  # that may wait
_LOOK_S = 1.0  # how late a signal is noticed at worst: one that comes just before the thread waits does not wake it
_STOPPING = RefusedError("stopping", "the daemon is stopping: try again in a moment")


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class Reload:
    """SIGHUP."""


@dataclass(frozen=True, slots=True)
class Order:
    """From the control topic."""

    what: Instruction
    reply: Reply


@dataclass(frozen=True, slots=True)
class Failure:
    """A thread ended with this."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class News:
    """The state has changed so much that it should be told at once."""


Command: TypeAlias = "Stop | Reload | Order | Failure | News"


class Commands:
    """Any thread may put in, and signal handlers too: they run in the main thread, between two of its steps."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._stops = self._reloads = False  # no queue of their own: ten reloads are one, and a stop waits behind none
        self._taking = threading.Lock()
        self._takes_orders = False

    def catch_signals(self) -> None:
        """From now on SIGTERM and SIGINT stop, SIGHUP reloads."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, *_: object) -> None:
        self._stops = True
        self._queue.put(None)  # wakes `next`

    def _reload(self, *_: object) -> None:
        self._reloads = True
        self._queue.put(None)

    def catch_failures(self) -> None:
        """From now on a thread that nobody else answers for, as those of the MQTT clients, fails like the others."""
        threading.excepthook = lambda failure: self.failed(failure.exc_value or RuntimeError("a thread ended"))

    def ignore_signals(self) -> None:
        """From now on they do nothing: while Python ends, an impatient second SIGTERM would make a failure of it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def failed(self, error: BaseException) -> None:
        """A thread ended."""
        self._queue.put(Failure(error))

    def news(self) -> None:
        """See News."""
        self._queue.put(News())

    def order(self, what: Instruction, reply: Reply) -> bool:
        """False when there is no room. Each that was taken gets one reply, `stopping` if nobody will carry it out."""
        with self._taking:
            if self._takes_orders:
                if self._queue.qsize() >= _ORDERS:
                    return False
                self._queue.put(Order(what, reply))
                return True
        reply(_STOPPING)
        return True

    @contextlib.contextmanager
    def orders(self) -> Iterator[None]:
        """Orders are taken in between; those still waiting at the end get their reply."""
        with self._taking:
            self._takes_orders = True
        try:
            yield
        finally:
            with self._taking:
                self._takes_orders = False
            self._refuse_orders()

    def _refuse_orders(self) -> None:
        for _ in range(self._queue.qsize()):  # the others stay, in their order
            match self._queue.get():
                case Order(reply=reply):
                    reply(_STOPPING)
                case other:
                    self._queue.put(other)

    def next(self, timeout_s: float) -> Command | None:
        """The next of them, a stop before all others; None when there was none in time."""
        end = time.monotonic() + timeout_s
        while True:
            if self._stops:
                return Stop()
            if self._reloads:
                self._reloads = False
                return Reload()
            left = end - time.monotonic()
            try:
                command = self._queue.get(timeout=max(0.0, min(left, _LOOK_S)))
            except queue.Empty:
                if left <= _LOOK_S:
                    return None
                continue
            if command is not None:
                return command
