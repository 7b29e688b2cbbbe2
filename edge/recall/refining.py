"""Refined items stay refined: what questions have finished is written down behind their backs, many in a commit.

Between the commit and the end of the activation a crash leaves the fine embedding and a file that nobody needs, which
goes when a question meets the item again, or when the cache is full.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType

from edge.errors import StoreError
from edge.items import Embedded
from edge.memory import Halfway, Memory
from edge.runtime import exif_time
from edge.threads import Worker

_GATHER_S = 2.0  # how long a commit waits for company: one a question would wear the card
_GROUP = 256  # of a commit: whoever else writes waits some ten milliseconds for it
_MOST = 1_024  # that wait, 1 kB each
_log = logging.getLogger(__name__)


class Refining:
    """A context manager: its thread runs in between; what was put before leaving is written on leaving."""

    def __init__(self, memory: Memory, halfway: Halfway | None, failed: Callable[[BaseException], None]) -> None:
        self._memory, self._halfway = memory, halfway
        self._waiting: dict[int, Embedded] = {}
        self._asked: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._leaving = threading.Event()
        self._is_ill = False
        self._worker = Worker("refine", self._run, self._stop, failed)

    def __enter__(self) -> Refining:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    def put(self, finished: Sequence[Embedded]) -> None:
        """Never waits: what there is no room for stays coarse, until a question finishes it again."""
        with self._changed:
            for one in finished[: _MOST - len(self._waiting)]:
                self._waiting[one.item] = one
            self._changed.notify()

    def asked(self, items: Sequence[int]) -> None:
        """These were answers, and are another bundle's so far: to be noted, and embedded the sooner. Never waits."""
        with self._changed:
            self._asked.update(items[: _MOST - len(self._asked)])
            self._changed.notify()

    def write(self) -> int:
        """One commit of what waits, at most of a group; returns how many. Raises DiskFullError or StoreError."""
        with self._changed:
            group = [self._waiting.pop(item) for item in list(self._waiting)[:_GROUP]]
            asked, self._asked = self._asked, Counter()
        if asked:
            self._memory.asked(asked)
        if group:
            self.keep(group)
        return len(group)

    def keep(self, group: Sequence[Embedded]) -> None:
        """One commit of these, now; their activations end behind it. Raises DiskFullError or StoreError."""
        self._memory.refine([self._dated(one) for one in group])
        if self._halfway:
            self._halfway.free(one.item for one in group)

    def _dated(self, one: Embedded) -> Embedded:
        """With the time that its EXIF says, if another bundle has embedded it so far, as whoever remembers reads it."""
        if not self._memory.is_again(one.item):
            return one
        try:
            item = self._memory.item(one.item)
            content = None if item.taken_from == "message" else self._memory.content(item)
            return replace(one, taken_at=exif_time(content) if content is not None else None)
        except (KeyError, StoreError, MemoryError):  # forgotten, or not to be read: it is not what is written here
            return one

    def _stop(self) -> None:
        self._leaving.set()
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while self._has_come():
            self._leaving.wait(_GATHER_S)
            self._write_all()

    def _has_come(self) -> bool:
        """Waits for something to write; False when there will be nothing any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._asked or self._leaving.is_set())
            return bool(self._waiting or self._asked)

    def _write_all(self) -> None:
        try:
            while self.write():
                self._is_ill = False
        except StoreError as error:
            if not self._is_ill:  # said once; the items stay as they were
                _log.error("what questions finished is not kept: %s", error)
            self._is_ill = True
