"""Which waiting items are taken, which of them are worked on, and which must be taken alone."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from edge.items import Item
from edge.memory import Memory

GROUP = 32  # items that are looked for at a time, and that share a commit


class Flights:
    """Between the memory and the threads that remember: an item is taken once, until it has landed. Any thread.

    set_aside: items that cannot be read for now: they are not taken until the next start
    """

    def __init__(self, memory: Memory) -> None:
        self.set_aside: set[int] = set()
        self._memory = memory
        self._backlog: deque[Item] = deque()
        self._taken: set[int] = set()
        self._worked_on: set[int] = set()
        self._changed = threading.Condition(threading.RLock())

    @property
    def count(self) -> int:
        """Items that were taken and have not landed."""
        return len(self._taken)

    def take(self, most: int) -> list[Item]:
        """Up to `most` of those whose turn it is; they count as worked on from now on. Raises StoreError.

        None when nothing waits, or when a suspect is next or in flight: nothing flies along with it, so that the next
        end of the process shows whether it is to blame.
        """
        with self._changed:
            if self._backlog and self._memory.tally.waiting and self._memory.is_again(self._backlog[0].id):
                self._backlog.clear()  # something new has come since, and goes first
            if not self._backlog:
                # The taken ones stand first: what lands while we look must not be taken for new.
                without = self._taken | self.set_aside
                found = self._memory.waiting(GROUP + len(without))
                self._backlog.extend([item for item in found if item.id not in without][:GROUP])
            batch: list[Item] = []
            while self._backlog and len(batch) < most and self._may_fly(self._backlog[0]):
                batch.append(self._backlog.popleft())
                self._taken.add(batch[-1].id)
            self._note(self._worked_on | {item.id for item in batch})
            return batch

    def wait_for_landing(self, seconds: float) -> None:
        """Return when something landed, or after that time."""
        with self._changed:
            self._changed.wait(seconds)

    @property
    def has_more(self) -> bool:
        """Whether there is more to take; behind a `take` that gave nothing: once what is in flight has landed."""
        return bool(self._backlog)

    def done(self, items: Iterable[int]) -> None:
        """They are not worked on any more: what came of it only needs to be written down."""
        with self._changed:
            self._note(self._worked_on - set(items))

    def land(self, items: Iterable[int]) -> None:
        """It is written down."""
        landed = set(items)
        with self._changed:
            self._note(self._worked_on - landed)
            self._taken -= landed
            self._changed.notify_all()

    def give_up(self, items: Iterable[int]) -> None:
        """They wait on, and are taken again when their turn comes."""
        with self._changed:
            self._backlog.clear()
            self.land(items)

    def _may_fly(self, item: Item) -> bool:
        suspects = self._memory.suspects
        return not self._taken or (item.id not in suspects and not self._taken & suspects)

    def _note(self, worked_on: set[int]) -> None:
        if worked_on != self._worked_on:
            self._worked_on = worked_on
            self._memory.attempt(sorted(worked_on))
