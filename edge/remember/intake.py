"""The background half: what waits in the memory is decoded, rides up its tower, and can be found from then on."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from edge.errors import DiskFullError, StoreError, UnreadableItemError
from edge.items import Embedded, Item, Outcome
from edge.memory import Memory
from edge.remember.elevator import Elevator
from edge.runtime import Activation, TowerRunner
from edge.threads import Worker

GROUP = 32  # items a commit, see edge.remember.inbox
_RATE_S = 60  # the window that the rate is counted over
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # of the process or the system, not of one file
_FULL_S = 5  # how long it waits when the disk has no room for an embedding
_log = logging.getLogger(__name__)


class Intake:
    """A context manager: its thread runs in between. Work that was not committed on leaving is done again later.

    on_outcome: called in the thread, after the commit, for each item
    """

    def __init__(
        self,
        tower: TowerRunner,
        elevator: Elevator,
        memory: Memory,
        *,
        on_outcome: Callable[[Outcome], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._tower, self._elevator, self._memory, self._on_outcome = tower, elevator, memory, on_outcome
        self._changed = threading.Condition()
        self._stopping = self._paused = False
        self._news = True  # what waited when the process started
        self._began = time.monotonic()
        self._set_aside: set[int] = set()  # not readable for now, perhaps for lack of rights: tried at the next start
        self._done: deque[tuple[float, int]] = deque()
        self._worker = Worker("remember", self._run, self._stop, failed)

    def __enter__(self) -> Intake:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    def wake(self) -> None:
        """Something new waits."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def pause(self, *, paused: bool) -> None:
        """Stop after the batch at hand, or go on. What arrives is accepted all the same."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    @property
    def paused(self) -> bool:
        return self._paused

    def items_per_s(self) -> float:
        """Items that could be found at last, over the last minute, or since the start."""
        now = time.monotonic()
        done = sum(count for at, count in list(self._done) if at >= now - _RATE_S)
        return done / max(1.0, min(_RATE_S, now - self._began))

    def remember_group(self) -> int:
        """Embed up to GROUP of the items that have waited longest, in one commit; returns how many there were.

        Raises DiskFullError or StoreError; they wait on then.
        """
        found = self._memory.waiting(GROUP + len(self._set_aside))
        waiting = [item for item in found if item.id not in self._set_aside]
        outcomes: list[Outcome] = []
        embedded: list[Embedded] = []
        for start in range(0, len(waiting), self._elevator.batch):
            if self._stopping or self._paused:
                break
            self._ride(waiting[start : start + self._elevator.batch], embedded, outcomes)
        if embedded:
            self._memory.index(embedded)
        self._count(len(embedded))
        for outcome in outcomes:
            self._on_outcome(outcome)
        return len(waiting)

    def _ride(self, items: Sequence[Item], embedded: list[Embedded], outcomes: list[Outcome]) -> None:
        """One batch up the tower; adds to `embedded` and `outcomes`."""
        began = time.monotonic()
        starts: list[Activation] = []
        riding: list[Item] = []
        for item in items:
            if (start := self._start(item)) is not None:
                starts.append(start)
                riding.append(item)
        if not riding:
            return
        vectors, depth = self._elevator.ride(starts), self._elevator.depth
        each_ms = (time.monotonic() - began) * 1e3 / len(items)
        for item, vector in zip(riding, vectors, strict=True):
            embedded.append(Embedded(item=item.id, depth=depth, embedding=vector))
            outcomes.append(Outcome(item=item, state="indexed", depth=depth, ms=each_ms))

    def _start(self, item: Item) -> Activation | None:
        """The item before the first segment; None when it cannot be read, once that is on disk and said."""
        try:
            content = self._memory.content(item)
            if content is not None:
                return self._tower.start_images([content])
            reason = "its content is gone from the state folder"
        except UnreadableItemError as error:
            reason = str(error)
        except StoreError as error:
            number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
            if number is None or number in _PASSING:
                raise
            if number != errno.EIO:
                _log.error("an item is set aside until the next start: %s", error)
                self._set_aside.add(item.id)
                return None
            reason = "its content cannot be read from the disk any more"  # a bad sector, which stays bad
        self._memory.reject(item, reason)
        self._on_outcome(Outcome(item=item, state="rejected", reason=reason))
        return None

    def _count(self, done: int) -> None:
        now = time.monotonic()
        self._done.append((now, done))
        while self._done and self._done[0][0] < now - _RATE_S:
            self._done.popleft()

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or (self._news and not self._paused))
                if self._stopping:
                    return
                self._news = False
            try:
                if self.remember_group():
                    self.wake()  # there may be more
            except StoreError as error:
                if not (isinstance(error, DiskFullError) or isinstance(error.__cause__, OSError)):
                    raise  # the database itself
                _log.error("%s", error)
                self._rest()  # a disk that is full, or too many open files: it may pass

    def _rest(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, _FULL_S)
        self.wake()
