"""Refining ahead: idle time takes items to the last exit, so that the questions which find them need not.

The items that are most likely asked for go first, from their cached activations; what has none is left to questions. It
is written down as what questions finish is. A question, an arriving item or the end of the process stops it before its
next segment call: the batch at hand is dropped, and what was finished before it is kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from edge.bank import Banks
from edge.errors import StoreError
from edge.items import Embedded
from edge.memory import Halfway, Memory
from edge.recall.allowance import Allowance
from edge.recall.refining import Refining
from edge.recall.riding import ride
from edge.runtime import Activation, NotIdleError, TowerRunner
from edge.threads import Threaded, Worker

_LOOK_S = 1.0  # how often it looks whether it is idle time
_PLANNED = 1_024  # items of one look through all there are, which takes a second for 100,000 on a small board
_log = logging.getLogger(__name__)


class Ahead(Threaded):
    """A context manager: its thread runs in between. Without it `refine_group` can be called by hand.

    count: items that it refined so far
    """

    def __init__(
        self,
        tower: TowerRunner,
        memory: Memory,
        banks: Banks,
        batch: int,
        *,
        halfway: Halfway,
        refining: Refining,
        allowance: Allowance,
        is_idle: Callable[[], bool],
        on_refined: Callable[[int], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`batch` items ride together.

        tower:      its calls raise NotIdleError once it is not `is_idle` any more, see `Compute.idle`
        on_refined: called in the thread with the number of items behind each commit
        """
        self._tower, self._memory, self._banks, self._batch = tower, memory, banks, batch
        self._halfway, self._refining, self._allowance = halfway, refining, allowance
        self._is_idle, self._on_refined = is_idle, on_refined
        self._last = tower.spec.exits[-1]
        self._planned: deque[int] = deque()
        self._planned_of = -1  # items that there were then
        self._nothing_at: tuple[int, int] | None = None
        self._finished: list[Embedded] = []
        self._leaving = threading.Event()
        self._is_ill = False
        self.count = 0
        self._worker = Worker("ahead", self._run, self._leaving.set, failed)

    def refine_group(self) -> int:
        """Take as many items as are allowed now to the last exit, while it is idle; returns how many, in one commit.

        Raises DiskFullError or StoreError: what is finished is written by the next call then.
        """
        if self._finished:  # the disk was full
            return self._write()
        left = self._allowance.group()
        while left and self._may_begin() and (group := self._next(min(left, self._batch))):
            try:
                self._finish(group)
            except NotIdleError:
                self._planned.extendleft(reversed(group))
                break
            left -= len(group)
        return self._write()

    def _may_begin(self) -> bool:
        return not self._leaving.is_set() and self._is_idle() and self._halfway.has_room()

    def _next(self, count: int) -> list[int]:
        """The likeliest items that one can go on with; none when there are none."""
        now = self._memory.version, self._halfway.count
        if now == self._nothing_at:  # since when nothing changed
            return []
        if not self._planned or self._planned_of != self._memory.tally.items:
            self._planned_of = self._memory.tally.items
            in_hand = {one.item for one in self._finished}
            found = self._halfway.only(self._memory.unfinished(self._last.depth))[: _PLANNED + len(in_hand)].tolist()
            self._planned = deque(item for item in found if item not in in_hand)
            self._nothing_at = None if self._planned else now
        return [self._planned.popleft() for _ in range(min(count, len(self._planned)))]

    def _finish(self, items: Sequence[int]) -> None:
        """One elevator batch; what cannot be read any more is left out."""
        found = [(item, start) for item in items if (start := self._halfway.find(item))]
        if not found:
            return
        found.sort(key=lambda one: one[1][0])
        starts = [Activation(tensor, segment, {}) for _, (segment, tensor) in found]
        embeddings = ride(self._tower, starts, self._leaving.is_set)
        if embeddings is None:
            raise NotIdleError
        rows = zip(found, embeddings, self._banks.offsets(embeddings, self._last).tolist(), strict=True)
        self._finished += [
            Embedded(item=item, depth=self._last.depth, embedding=row, offset=offset) for (item, _), row, offset in rows
        ]
        self._allowance.spend(len(found))

    def _write(self) -> int:
        done = len(self._finished)
        if done:
            self._refining.keep(self._finished)
            self._finished = []
            self.count += done
            self._on_refined(done)
        return done

    def _run(self) -> None:
        while not self._leaving.wait(_LOOK_S):
            self._try()

    def _try(self) -> None:
        try:
            self.refine_group()
            self._is_ill = False
        except (StoreError, MemoryError) as error:
            if not self._is_ill:  # said once
                _log.error("nothing can be refined ahead: %s", error)
            self._is_ill = True
