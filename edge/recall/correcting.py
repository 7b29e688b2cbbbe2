"""Fine-grained correcting: the pool is finished to the last exit and ranked again.

Source: Reminisce, round 3 of speculative fine-grained retrieval. So far the pool is encoded again from raw content;
it is ranked by the calibrated score at the last exit, by the cosine there where the bundle has no calibration.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.bank import Banks
from edge.errors import StoreError, UnreadableItemError
from edge.items import Floats, Hit, Item
from edge.memory import Memory
from edge.recall.filtering import Candidate
from edge.recall.granularity import Granularities
from edge.runtime import Activation, TowerRunner


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits best first, how many of them were finished, and whether the deadline ended that."""

    hits: list[Hit]
    refined: int
    cut: bool


class Corrector:
    """Finishes candidates in batches up to the tower's last exit."""

    def __init__(self, tower: TowerRunner, memory: Memory, banks: Banks, batch: int) -> None:
        self._tower, self._memory, self._banks, self._batch = tower, memory, banks, batch
        self._last = tower.spec.exits[-1]

    def rank(self, query: Granularities, pool: Sequence[Candidate], deadline: float | None = None) -> Ranking:
        """Finish the pool in its order, as far as `deadline` (monotonic seconds) lets; one batch is never interrupted.

        A candidate that is not finished, for lack of time or because its content is gone, keeps its coarse score and
        stands behind the finished ones, which are better known.
        """
        fine: list[Candidate] = []
        coarse: list[Candidate] = []
        cut = False
        for start in range(0, len(pool), self._batch):
            batch = pool[start : start + self._batch]
            cut = cut or (deadline is not None and time.monotonic() >= deadline)
            if cut:
                coarse += batch
                continue
            finished, left = self._finish(query, batch)
            fine += finished
            coarse += left
        fine.sort(key=lambda one: one.order)
        return Ranking([one.hit(self._memory) for one in fine + coarse], len(fine), cut)

    def _finish(self, query: Granularities, batch: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        starts, items = [], []
        fine: list[Candidate] = []
        left: list[Candidate] = []
        for candidate in batch:
            if candidate.depth == self._last.depth:
                fine.append(candidate)  # it left at the last exit: there is nothing to finish
            elif start := self._start(self._memory.item(candidate.item)):
                starts.append(start.tensor)
                items.append(candidate.item)
            else:
                left.append(candidate)
        if starts:
            batched = Activation(np.concatenate(starts), 0, {})
            embeddings = self._tower.embed(self._tower.advance(batched, self._last.segment), self._last)
            fine += self._scored(items, embeddings, embeddings @ query.at(self._last.depth))
        return fine, left

    def _scored(self, items: Sequence[int], embeddings: Floats, cosines: Floats) -> list[Candidate]:
        """(N, D) embeddings at the last exit and (N,) cosines with the question there."""
        depth, map_ = self._last.depth, self._last.calibration
        if map_ is None:
            return [Candidate(item, depth, cosine) for item, cosine in zip(items, cosines.tolist(), strict=True)]
        logits = np.float32(map_.cosine) * cosines + self._banks.offsets(embeddings, self._last)
        found = zip(items, cosines.tolist(), logits.tolist(), strict=True)
        return [Candidate(item, depth, cosine, logit) for item, cosine, logit in found]

    def _start(self, item: Item) -> Activation | None:
        """The item before the first segment; None when its content is gone, or cannot be read any more."""
        try:
            content = self._memory.content(item)
            return self._tower.start_images([content]) if content is not None else None
        except (StoreError, UnreadableItemError):
            return None
