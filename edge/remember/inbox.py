"""The inbox: offers in, durable items out, in groups that share one commit. Full, it says so and loses nothing.

A sender is told "accepted" after the commit, never before. What comes faster than the disk or the towers follow waits
with the broker, unacknowledged: here are only a bounded number of offers in memory and of accepted items on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge.config import RememberConfig
from edge.errors import DiskFullError, UnreadableItemError
from edge.items import Arrival, Modality, Offer, Verdict
from edge.memory import Memory
from edge.remember.files import read_below
from edge.threads import Threaded, Worker

Gate: TypeAlias = Literal["open", "full", "disk_full"]
Settle: TypeAlias = Callable[[Verdict], None]

GROUP = 32  # items a commit: one at a time writes the database pages several times over, which wears the card
GATHER_S = 0.05  # how long a commit waits for company
QUEUED_OFFERS, QUEUED_BYTES = 64, 32 << 20  # in memory, before they are durable
_RETRY_S = 0.5  # while it is full: how often it looks again
_SAID = {
    "open": "new items are accepted again, in %s",
    "full": "too much waits to be embedded in %s: nothing new is accepted for now",
    "disk_full": "the disk of %s is full: nothing new is accepted until there is room",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Queued:
    offer: Offer
    settle: Settle


@dataclass(frozen=True, slots=True)
class _New:
    queued: _Queued
    arrival: Arrival


class Inbox(Threaded):
    """A context manager: its thread runs in between. What was not settled on leaving was not accepted.

    check:      raises UnreadableItemError on content that the tower of a modality does not take; a quick look
    on_accept:  called after each commit that brought something new
    on_gate:    called when the gate changes; "open" takes everything, "full" and "disk_full" nothing new
    on_drained: called when an offer was refused and at least half of the queue is free again
    """

    def __init__(
        self,
        memory: Memory,
        config: RememberConfig,
        check: Callable[[Modality, bytes], None],
        *,
        on_accept: Callable[[], None],
        on_gate: Callable[[Gate], None],
        on_drained: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.gate: Gate = "open"
        self._memory, self._config, self._check = memory, config, check
        self._on_accept, self._on_gate, self._on_drained = on_accept, on_gate, on_drained
        self._queue: deque[_Queued] = deque()
        self._queued_bytes = 0
        self._seen_again: list[bytes] = []
        self._refused = False
        self._changed = threading.Condition()
        self._stopping = False
        self._worker = Worker("inbox", self._run, self._stop, failed)

    def offer(self, offer: Offer, settle: Settle) -> bool:
        """Queue an offer; False when there is no room for it. `settle` is called in the inbox's thread.

        An offer is never too large for an empty queue.
        """
        with self._changed:
            full = len(self._queue) >= QUEUED_OFFERS or self._queued_bytes + offer.held_bytes > QUEUED_BYTES
            if self._queue and full:
                self._refused = True
                return False
            self._queue.append(_Queued(offer, settle))
            self._queued_bytes += offer.held_bytes
            self._changed.notify_all()
            return True

    @property
    def queued(self) -> int:
        """Offers in memory that are not durable yet."""
        return len(self._queue)

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        while group := self._gather():
            for new in self._arrived(group):
                if not self._accept(new):
                    return
            self._note_sightings()
            if self._refused and len(self._queue) <= QUEUED_OFFERS // 2 and self._queued_bytes <= QUEUED_BYTES // 2:
                self._refused = False
                self._on_drained()

    def _gather(self) -> list[_Queued]:
        """Up to GROUP offers that came within GATHER_S of the first; none when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            end = time.monotonic() + GATHER_S
            while len(self._queue) < GROUP and not self._stopping and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stopping:
                return []
            group = [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]
            self._queued_bytes -= sum(one.offer.held_bytes for one in group)
            return group

    def _arrived(self, group: list[_Queued]) -> Iterator[list[_New]]:
        """What is new of a group, in as few parts as memory allows: a message by path weighs nothing, its file much."""
        new: list[_New] = []
        for queued in group:
            if (arrival := self._arrive(queued)) is not None:
                new.append(_New(queued, arrival))
            if sum(len(one.arrival.content) for one in new) >= QUEUED_BYTES:
                yield new
                new = []
        if new:
            yield new

    def _arrive(self, queued: _Queued) -> Arrival | None:
        """The content at hand; None when it is settled already: unreadable, or known."""
        offer = queued.offer
        if offer.digest is not None:
            known = self._memory.known(offer.digest)
            if known and not self._describe(offer, known):
                known = None  # with the bytes it can wait for room
            self._settle_known(queued, known or Verdict("unknown", offer.digest))
            return None
        digest: bytes | None = None
        try:
            content = read_below(self._config.roots, offer.path) if offer.path is not None else offer.content or b""
            digest = hashlib.sha256(content).digest()
            verdict = self._memory.known(digest)
            if verdict is None:
                with contextlib.suppress(MemoryError):  # whoever decodes it tells, and tries again
                    self._check(offer.modality, content)
        except UnreadableItemError as error:
            verdict = Verdict("rejected", digest, str(error))
        if digest is None or (verdict is not None and self._describe(offer, verdict)):
            self._settle_known(queued, verdict or Verdict("rejected", None))
            return None
        return Arrival(
            content=content,
            digest=digest,
            modality=offer.modality,
            source=offer.source,
            taken_at=offer.taken_at,
            taken_from=offer.taken_from,
            meta=offer.meta,
        )

    def _describe(self, offer: Offer, verdict: Verdict) -> bool:
        """Whether what it says of a known item is on disk, if it says anything: before its sender hears of it."""
        if verdict.state == "duplicate" and verdict.digest is not None and offer.meta:
            try:
                self._memory.describe(verdict.digest, offer.meta)
            except DiskFullError:
                return False
        return True

    def _settle_known(self, queued: _Queued, verdict: Verdict) -> None:
        queued.settle(verdict)
        if verdict.state == "duplicate" and verdict.digest is not None and not queued.offer.meta:
            self._seen_again.append(verdict.digest)

    def _note_sightings(self) -> None:
        """One commit a group, behind the verdicts: nobody was promised a count, and a full disk may lose it."""
        if self._seen_again:
            with contextlib.suppress(DiskFullError):
                self._memory.sighted(self._seen_again)
            self._seen_again.clear()

    def _accept(self, group: list[_New]) -> bool:
        """Commit as soon as there is room; False when it was time to stop before."""
        while (verdicts := self._commit([one.arrival for one in group])) is None:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, _RETRY_S):
                    return False
        self._turn("open")
        for one, verdict in zip(group, verdicts, strict=True):
            one.queued.settle(verdict)
        self._on_accept()
        return True

    def _commit(self, batch: list[Arrival]) -> list[Verdict] | None:
        """None when there is no room; only what succeeds opens the gate again, or a quota would make it flap."""
        gate = self._room()
        if gate == "open":
            try:
                return self._memory.accept(batch)
            except DiskFullError:
                gate = "disk_full"
        self._turn(gate)
        return None

    def _room(self) -> Gate:
        tally, config = self._memory.tally, self._config
        if tally.waiting >= config.inbox_items or tally.waiting_bytes >= config.inbox_mb * 1_000_000:
            return "full"
        if shutil.disk_usage(self._memory.folder).free < config.min_free_mb * 1_000_000:
            return "disk_full"
        return "open"

    def _turn(self, gate: Gate) -> None:
        if gate != self.gate:
            _log.log(logging.INFO if gate == "open" else logging.WARNING, _SAID[gate], self._memory.folder)
            self.gate = gate
            self._on_gate(gate)
