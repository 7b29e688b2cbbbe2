"""The thread that keeps raw content within its limits."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from edge.errors import StoreError
from edge.memory.disk.eviction import AT_ONCE, Limits
from edge.memory.memory import Memory
from edge.threads import Threaded, Worker

_EVERY_S = 1.0  # how long content outlives its embedding at most, where none is kept
_log = logging.getLogger(__name__)


class Retention(Threaded):
    """A context manager: its thread runs in between, if there is a limit."""

    def __init__(self, memory: Memory, limits: Limits, failed: Callable[[BaseException], None]) -> None:
        self._memory, self._limits = memory, limits
        self._leaving = threading.Event()
        self._is_ill = False
        if limits == Limits():
            self._worker = contextlib.nullcontext()
        else:
            self._worker = Worker("retention", self._run, self._leaving.set, failed)

    def keep_within(self) -> None:
        """Evict what is beyond the limits now, until told to stop. Raises DiskFullError or StoreError."""
        while self._memory.evict(self._limits) == AT_ONCE and not self._leaving.is_set():
            pass

    def _run(self) -> None:
        while not self._leaving.wait(_EVERY_S):
            self._try()

    def _try(self) -> None:
        try:
            self.keep_within()
            self._is_ill = False
        except StoreError as error:
            if not self._is_ill:  # said once
                _log.error("raw content is not kept within its limits: %s", error)
            self._is_ill = True
