"""What came of a ride is written down: in groups that share a commit, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.errors import DiskFullError, StoreError
from edge.items import Embedded, Item, Outcome
from edge.memory import Halfway, Memory
from edge.remember.elevator import Left
from edge.remember.flights import GROUP, Flights
from edge.remember.lane import Lane
from edge.threads import Threaded, Worker

GATHER_S = 2.0  # how long a commit waits for company while more is on its way: one an item would wear the card
FULL_S = 5.0  # how long it waits when the disk has no room
_RATE_S = 60  # the window that the rate is counted over
_QUEUED = GROUP  # each with its activation
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Landed:
    """An item, where it left, its share of the time, decoding included, and when it was taken, see Embedded."""

    item: Item
    left: Left
    ms: float
    taken_at: float | None


class Writing(Threaded):
    """A context manager: its thread runs in between; what was put before leaving is written down on leaving.

    halfway:    where activations are packed and kept; None: nowhere
    stopping:   set by whoever stops it: a full disk is not waited for then, and the items wait on in the memory
    on_outcome: called after the commit, for each item
    """

    def __init__(
        self,
        memory: Memory,
        halfway: Halfway | None,
        flights: Flights,
        stopping: threading.Event,
        on_outcome: Callable[[Outcome], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._memory, self._halfway, self._flights = memory, halfway, flights
        self._stopping, self._on_outcome = stopping, on_outcome
        self._began = time.monotonic()
        self._done: deque[tuple[float, int]] = deque()
        self._lane: Lane[Landed] = Lane(_QUEUED)
        self._worker = Worker("write", self._run, self._lane.close, failed)

    def put(self, landed: Sequence[Landed]) -> bool:
        """Hand over, waiting for room; False when the thread has ended."""
        return all(self._lane.put(one) for one in landed)

    def write(self, group: Sequence[Landed]) -> None:
        """One commit; then they are told. Raises DiskFullError or StoreError; they wait on then."""
        there = self._memory.index([_embedded(one) for one in group]) if group else frozenset()
        self._count(len(group))
        self._flights.land(one.item.id for one in group)
        group = [one for one in group if one.item.id in there]  # the others were forgotten
        for one in group:
            self._on_outcome(Outcome(item=one.item, state="indexed", depth=one.left.exit.depth, ms=one.ms))
        if self._halfway:  # behind the commit: an embedding is worth more than what only spares time
            for one in (one for one in group if one.item.modality == "image"):
                self._halfway.keep(one.item, one.left.activation.segment, one.left.activation.tensor, one.ms)

    def items_per_s(self) -> float:
        """Items that could be found at last, over the last minute, or since the start."""
        now = time.monotonic()
        done = sum(count for at, count in list(self._done) if at >= now - _RATE_S)
        return done / max(1.0, min(_RATE_S, now - self._began))

    def _run(self) -> None:
        try:
            while group := self._gather():
                self._write_when_possible(group)
        finally:
            self._lane.close()  # nobody waits for a thread that failed

    def _gather(self) -> list[Landed]:
        """A group, without waiting for company that is not on its way; none at the end."""
        first = self._lane.get()
        group = [] if first is None else [first]
        end = time.monotonic() + GATHER_S
        while group and len(group) < GROUP and self._flights.count > len(group):
            following = self._lane.get(max(0.0, end - time.monotonic()))
            if following is None:
                break
            group.append(following)
        return group

    def _write_when_possible(self, group: Sequence[Landed]) -> None:
        while not self._is_written(group):
            if self._stopping.wait(FULL_S):
                self._flights.give_up(one.item.id for one in group)
                return

    def _is_written(self, group: Sequence[Landed]) -> bool:
        try:
            self.write(group)
        except StoreError as error:
            if not may_pass(error):
                raise
            _log.error("%s", error)
            return False
        return True

    def _count(self, done: int) -> None:
        now = time.monotonic()
        self._done.append((now, done))
        while self._done and self._done[0][0] < now - _RATE_S:
            self._done.popleft()


def may_pass(error: StoreError) -> bool:
    """Whether it is of the disk or the system, not of the database itself."""
    return isinstance(error, DiskFullError) or isinstance(error.__cause__, OSError)


def _embedded(one: Landed) -> Embedded:
    left = one.left
    return Embedded(
        item=one.item.id,
        depth=left.exit.depth,
        embedding=left.embedding,
        offset=left.offset,
        taken_at=one.taken_at,
        modality=one.item.modality,
    )
