"""The background half: what waits in the memory is decoded, rides up its tower, and can be found from then on.

Three threads in a row, so that the towers never wait for a picture or the disk: `decode` is at most one batch ahead,
`remember` rides, `write` commits (edge.remember.writing).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

from edge.errors import StoreError
from edge.items import Item, Outcome
from edge.memory import CRASHED_TWICE, Halfway, Memory
from edge.remember.decoding import Refusal, Start, is_of_the_file, start
from edge.remember.elevator import Elevator
from edge.remember.flights import GROUP, Flights
from edge.remember.lane import Lane
from edge.remember.notes import Notes
from edge.remember.writing import FULL_S, Landed, Writing, may_pass
from edge.runtime import TowerRunner
from edge.threads import Worker

_HELD_UP_S = 0.2  # how long it looks away while a suspect must fly alone
_log = logging.getLogger(__name__)


class Intake:
    """A context manager: its threads run in between. Work that was not committed on leaving is done again later.

    on_outcome: called in one of the threads for each item, once what it says is on disk
    """

    def __init__(
        self,
        tower: TowerRunner,
        elevator: Elevator,
        memory: Memory,
        batch: int,
        *,
        halfway: Halfway | None = None,
        notes: Notes | None = None,
        on_outcome: Callable[[Outcome], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`batch`: how many ride together at most; `halfway` keeps the activations of what leaves early.

        notes: takes the items that are notes; None: they wait for a bundle that can
        """
        self._tower, self._elevator, self._memory, self._batch = tower, elevator, memory, batch
        self._notes = notes
        self._on_outcome = on_outcome
        self._changed = threading.Condition()
        self._stopping, self._paused = threading.Event(), False
        self._news = True  # what waited when the process started
        self._flights = Flights(memory)
        self._decoded: Lane[list[Start]] = Lane(1)
        self._writing = Writing(memory, halfway, self._flights, self._stopping, on_outcome, failed)
        self._workers = (
            self._writing,
            Worker("remember", self._ride_all, self._stop, failed),
            Worker("decode", self._decode_all, self._stop, failed),
        )
        self._running = ExitStack()

    def __enter__(self) -> Intake:
        for worker in self._workers:
            self._running.enter_context(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

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
    def has_work(self) -> bool:
        """Whether an item waits for its embedding that can be read."""
        tally = self._memory.tally
        return tally.waiting + tally.migrating > len(self._flights.set_aside)

    @property
    def paused(self) -> bool:
        return self._paused

    def items_per_s(self) -> float:
        """See `Writing.items_per_s`."""
        return self._writing.items_per_s()

    def remember_group(self) -> int:
        """Without the threads: embed up to GROUP of the items that have waited longest, in one commit.

        Returns how many there were. Raises DiskFullError or StoreError; they wait on then.
        """
        taken: list[Item] = []
        landed: list[Landed] = []
        try:
            while len(taken) < GROUP and not (self._stopping.is_set() or self._paused):
                batch = self._flights.take(min(self._batch, GROUP - len(taken)))
                taken += batch
                if not batch:
                    break
                landed += self._ride(self._decode(batch))
            self._writing.write(landed)
        finally:
            self._flights.give_up(item.id for item in taken)
        return len(taken)

    def _decode(self, items: Sequence[Item]) -> list[Start]:
        """Those that can be decoded; of the others it is on disk and said why not."""
        return [made for item in items if (made := self._start(item)) is not None]

    def _start(self, item: Item) -> Start | None:
        if item.modality == "text" and self._notes is None:
            self._set_aside(item)  # not to be lost: another bundle may take it
            return None
        try:
            made = start(self._tower, self._notes, self._memory, item)
        except MemoryError:
            self._accuse([item])
            return None
        except StoreError as error:
            if not is_of_the_file(error):
                raise
            _log.error("an item is set aside until the next start: %s", error)
            self._set_aside(item)
            return None
        if isinstance(made, Refusal):
            if self._memory.reject(item, made.reason, is_lost=made.is_lost):
                self._tell_rejected(item, made.reason)
            else:  # it was forgotten, or stays with the bundle that has embedded it
                self._flights.land([item.id])
            return None
        return made

    def _set_aside(self, item: Item) -> None:
        self._flights.set_aside.add(item.id)
        self._flights.land([item.id])

    def _ride(self, starts: list[Start]) -> list[Landed]:
        """One batch up the towers. `starts` is empty afterwards: a batch's pixels are not to be held twice."""
        notes = [one for one in starts if one.item.modality == "text"]
        starts[:] = [one for one in starts if one.item.modality != "text"]
        landed = self._ride_up(notes, self._notes) if self._notes else []
        return landed + self._ride_up(starts, self._elevator)

    def _ride_up(self, starts: list[Start], way: Elevator | Notes) -> list[Landed]:
        """What goes up one tower."""
        if not starts:
            return []
        began, items = time.monotonic(), [one.item for one in starts]
        decoded = [(one.ms, one.taken_at) for one in starts]
        try:
            left = way.ride(starts.pop(0).activation for _ in items)
        except MemoryError:
            self._accuse(items)
            return []
        each_ms = (time.monotonic() - began) * 1e3 / len(items)
        self._flights.done(item.id for item in items)
        in_order = sorted(left, key=lambda one: one.place)
        rows = zip(items, in_order, decoded, strict=True)
        return [Landed(item, one, ms + each_ms, taken_at) for item, one, (ms, taken_at) in rows]

    def _accuse(self, items: Sequence[Item]) -> None:
        """They did not fit into memory: as good as a crash, which it may be the next time."""
        _log.error("%d items need more memory than there is", len(items))
        for item in items:
            if self._memory.accuse(item):
                self._tell_rejected(item, CRASHED_TWICE)
        self._flights.give_up(item.id for item in items)
        self.wake()

    def _tell_rejected(self, item: Item, reason: str) -> None:
        self._flights.land([item.id])
        self._on_outcome(Outcome(item=item, state="rejected", reason=reason))

    def _stop(self) -> None:
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._decoded.close()

    def _decode_all(self) -> None:
        try:
            for item in self._memory.accused:
                self._tell_rejected(item, CRASHED_TWICE)
            while self._wait_for_work() and self._decoded.wait_for_room():
                self._decode_next()
        finally:
            self._decoded.close()  # nobody waits for a thread that failed

    def _wait_for_work(self) -> bool:
        """False when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping.is_set() or (self._news and not self._paused))
            self._news = False
            return not self._stopping.is_set()

    def _decode_next(self) -> None:
        batch: list[Item] = []
        try:
            batch = self._flights.take(self._batch)
            starts = self._decode(batch)
        except StoreError as error:
            self._flights.give_up(item.id for item in batch)
            if not may_pass(error):
                raise  # the database itself
            _log.error("%s", error)
            self._stopping.wait(FULL_S)  # a disk that is full, or too many open files: it may pass
            self.wake()
            return
        if starts:
            self._decoded.put(starts)
        if not batch and self._flights.has_more:
            self._flights.wait_for_landing(_HELD_UP_S)
        if batch or self._flights.has_more:
            self.wake()

    def _ride_all(self) -> None:
        try:
            while (starts := self._decoded.get()) is not None and self._may_ride():
                if not self._writing.put(self._ride(starts)):
                    return
        finally:
            self._decoded.close()

    def _may_ride(self) -> bool:
        """Wait while it is paused; False when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping.is_set() or not self._paused)
            return not self._stopping.is_set()
