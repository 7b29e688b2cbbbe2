"""The thread that forgets and pins: an order may take as long as the files that it is about."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from edge.errors import DiskFullError, RefusedError, StoreError
from edge.items import Instruction, Selection
from edge.memory.memory import Memory
from edge.threads import Threaded, Worker

Reply: TypeAlias = Callable[["dict[str, Any] | RefusedError"], None]
_WAITING = 64
_BUSY = RefusedError("busy", "too many orders are waiting: again later")
_STOPPING = RefusedError("stopping", "the daemon is stopping: try again in a moment")
_log = logging.getLogger(__name__)


class Housekeeping(Threaded):
    """A context manager: its thread runs in between. Each order gets one reply, once what it says is on disk."""

    def __init__(self, memory: Memory, failed: Callable[[BaseException], None]) -> None:
        self._memory = memory
        self._queue: queue.Queue[tuple[Instruction, Reply] | None] = queue.Queue(_WAITING)
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._worker = Worker("house", self._run, self._stop, failed)

    def order(self, what: Instruction, reply: Reply) -> None:
        """Queue an order about items; `reply` is called in the thread, or here when there is no room for it."""
        with self._closing:
            if self._stopping.is_set():
                reply(_STOPPING)
                return
            try:
                self._queue.put_nowait((what, reply))
            except queue.Full:
                reply(_BUSY)

    def _stop(self) -> None:
        with self._closing:
            self._stopping.set()
        self._queue.put(None)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            what, reply = entry
            try:
                done = _STOPPING if self._stopping.is_set() else self._obey(what)
            except Exception:
                self._stopping.set()
                reply(RefusedError("internal", "the daemon met a mistake of its own and ends: its log says which"))
                raise
            reply(done)

    def _obey(self, what: Instruction) -> dict[str, Any] | RefusedError:
        selection = what.selection or Selection(digests=())
        try:
            if what.op == "forget":
                done = self._memory.forget(selection, force=what.force, is_stopping=self._stopping.is_set)
                return {"op": what.op, "count": done.items, "kept": done.pinned}
            return {"op": what.op, "count": self._memory.pin(selection, is_pinned=what.op == "pin")}
        except RefusedError as error:
            return error
        except StoreError as error:
            _log.error("%s is not done: %s", what.op, error)
            why = "the disk is full" if isinstance(error, DiskFullError) else "the log of the device says why"
            return RefusedError("internal", f"it could not be done ({why}); a part may be: order it again")
