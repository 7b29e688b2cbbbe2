"""Fine-grained correcting: the pool is finished to the last exit and ranked again.

Source: Reminisce, round 3 of speculative fine-grained retrieval. The pool goes on from its cached activations, from raw
content where there is none. What was finished is handed on to be kept, so that no question has to finish it again.

The expected gain of finishing an item is the probability that it is asked for: of the healed ViT-Tiny on Flickr8k's dev
photos, at exits that are mixed, no order found more at equal work that also counted how uncertain an exit is, how
likely an item is to end among the first, or what it costs. What is finished and what is not are ranked together by
their probability: with 8 of 50 finished, recall@10 is .54 to .55 so, and .50 with the finished ones first. Without
calibration scores are not comparable, and the finished ones, which are better known, stand first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge.bank import Banks
from edge.errors import StoreError, UnreadableItemError
from edge.items import Embedded, Floats
from edge.memory import Halfway, Memory
from edge.recall.candidate import Candidate
from edge.recall.granularity import Query
from edge.recall.haste import Haste
from edge.recall.riding import ride
from edge.runtime import Activation, TowerRunner

Start = Literal["activation", "content"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A member of the pool: as the merge found it, and as it is at the last exit, once that is known.

    ms:    its share of the batch that finished it; 0 where nothing was to do
    start: what it was finished from
    embedding: (D,) at the last exit, where it was finished for this question
    """

    coarse: Candidate
    fine: Candidate | None = None
    ms: float = field(default=0.0, compare=False)
    start: Start | None = None
    embedding: Floats | None = field(default=None, compare=False)

    @property
    def best(self) -> Candidate:
        """As far as is known."""
        return self.fine or self.coarse


@dataclass(frozen=True, slots=True)
class Ranking:
    """The pool best first, how many of it are known at the last exit, and whether the deadline ended the finishing."""

    ranked: list[Ranked]
    refined: int
    cut: bool


def _nobody(_: object) -> None:
    return None


class Corrector:
    """Finishes candidates in batches up to the last exit of `tower`, which they left."""

    def __init__(
        self,
        tower: TowerRunner,
        memory: Memory,
        banks: Banks,
        batch: int,
        halfway: Halfway | None = None,
        haste: Haste | None = None,
        keep: Callable[[Sequence[Embedded]], None] = _nobody,
    ) -> None:
        """`halfway` has the activations of what left early; None: everything is encoded again.

        haste: how many of a batch are begun before a deadline; None: all
        keep:  takes what was finished, at once
        """
        self.tower, self._memory, self._banks, self._batch = tower, memory, banks, batch
        self._halfway, self._haste, self._keep = halfway, haste, keep
        self._last = tower.spec.exits[-1]

    def rank(
        self,
        query: Query,
        pool: Sequence[Candidate],
        deadline: float | None = None,
        on_better: Callable[[Ranking], None] = _nobody,
    ) -> Ranking:
        """Finish the pool, best first, as far as `deadline` (monotonic seconds) lets: it is late by one call at most.

        A candidate that is not finished, for lack of time or because its content is gone, keeps its coarse score. What
        another tower embedded has gone up all of it, and is as it is.

        on_better: called with the ranking so far, before the first batch and between batches
        """
        fine = [Ranked(one, one) for one in pool if self._is_fine(one)]
        coarse = [one for one in pool if not self._is_fine(one) and not self._is_ours(one)]
        todo = [one for one in pool if not self._is_fine(one) and self._is_ours(one)]
        if self._halfway:
            self._halfway.free(one.coarse.item for one in fine)  # where a crash came between its commit and that
        cut = False
        while todo and not cut:
            on_better(self._ranking(query, fine, [*todo, *coarse], cut=False))
            size = self._affordable(todo, deadline)
            finished = self._finish(query, todo[:size], deadline) if size else None
            if finished is None:
                cut = True
                break
            known = {one.coarse.item for one in finished}
            coarse += [one for one in todo[:size] if one.item not in known]
            fine += finished
            todo = todo[size:]
        return self._ranking(query, fine, [*todo, *coarse], cut=cut)

    def _is_fine(self, one: Candidate) -> bool:
        return not one.is_earlier and (one.depth == self._last.depth or not self._is_ours(one))

    def _is_ours(self, one: Candidate) -> bool:
        return one.modality == self.tower.spec.modality

    def _affordable(self, todo: Sequence[Candidate], deadline: float | None) -> int:
        """How many of the next are begun."""
        size = min(self._batch, len(todo))
        if deadline is None:
            return size
        left_ms = (deadline - time.monotonic()) * 1e3
        if self._haste is None or left_ms <= 0:
            return size if left_ms > 0 else 0
        return self._haste.affordable([self._following(one.item) for one in todo[:size]], left_ms)

    def _following(self, item: int) -> int:
        """The number of the segment that it goes on with."""
        return (self._halfway.following(item) if self._halfway else None) or 0

    def _finish(self, query: Query, batch: Sequence[Candidate], deadline: float | None) -> list[Ranked] | None:
        """Those that can be finished; None when the time is over before they are."""
        began = time.monotonic()
        starts = [(*start, candidate) for candidate in batch if (start := self._start(candidate.item))]
        if not starts:
            return []
        starts.sort(key=lambda start: start[0].segment)
        embeddings = ride(
            self.tower,
            [start for start, _, _ in starts],
            lambda: deadline is not None and time.monotonic() >= deadline,
        )
        if embeddings is None:
            return None
        fine = self._scored([one.item for _, _, one in starts], embeddings, query)
        ms = (time.monotonic() - began) * 1e3 / len(starts)
        rows = zip(starts, fine, embeddings, strict=True)
        return [Ranked(coarse, found, ms, kind, row) for (_, kind, coarse), found, row in rows]

    def _scored(self, items: Sequence[int], embeddings: Floats, query: Query) -> list[Candidate]:
        """(N, D) embeddings at the last exit, which are kept from now on, beside the question there."""
        depth, map_ = self._last.depth, self._last.calibration
        cosines = np.einsum("nd,d->n", embeddings, query.at(depth))  # see bank_similarities on BLAS
        offsets = self._banks.offsets(embeddings, self._last)
        rows = zip(items, embeddings, offsets.tolist(), strict=True)
        self._keep([Embedded(item=item, depth=depth, embedding=row, offset=offset) for item, row, offset in rows])
        if map_ is None or not query.is_calibrated:
            return [Candidate(item, depth, cosine) for item, cosine in zip(items, cosines.tolist(), strict=True)]
        logits = np.float32(map_.cosine) * cosines + offsets
        found = zip(items, cosines.tolist(), logits.tolist(), strict=True)
        return [Candidate(item, depth, cosine, logit) for item, cosine, logit in found]

    def _start(self, item: int) -> tuple[Activation, Start] | None:
        """The item where it can go on; None when its content is gone, or cannot be read any more."""
        if self._halfway and (found := self._halfway.find(item)):
            return Activation(found[1], found[0], {}), "activation"
        try:
            if self._memory.is_kept_back(item):  # its decoder failed on it, or crashed: it would again
                return None
            content = self._memory.content(self._memory.item(item))
            return (self.tower.start_images([content]), "content") if content is not None else None
        # KeyError: it was forgotten meanwhile. MemoryError: it stays coarse for this question.
        except (KeyError, StoreError, UnreadableItemError, MemoryError):
            return None

    def _ranking(self, query: Query, fine: Sequence[Ranked], coarse: Sequence[Candidate], *, cut: bool) -> Ranking:
        ranked = [*fine, *map(Ranked, coarse)]
        if self._last.calibration is not None and query.is_calibrated:
            ranked.sort(key=lambda one: one.best.order)
        else:
            ranked.sort(key=lambda one: (one.fine is None, one.best.order))
        return Ranking(ranked, len(fine), cut)
