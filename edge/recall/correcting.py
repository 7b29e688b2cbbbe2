"""Fine-grained correcting: the pool is finished to the last exit and ranked again.

Source: Reminisce, round 3 of speculative fine-grained retrieval. So far the pool is encoded again from raw content,
and fine scores are cosines with the question's embedding for the last exit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.errors import StoreError, UnreadableItemError
from edge.items import Hit, Item
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

    def __init__(self, tower: TowerRunner, memory: Memory, batch: int) -> None:
        self._tower, self._memory, self._batch = tower, memory, batch
        self._last = tower.spec.exits[-1]

    def rank(self, query: Granularities, pool: Sequence[Candidate], deadline: float | None = None) -> Ranking:
        """Finish the pool in its order, as far as `deadline` (monotonic seconds) lets; one batch is never interrupted.

        A candidate that is not finished, for lack of time or because its content is gone, keeps its coarse score and
        stands behind the finished ones: the two scores come from different exits and cannot be compared.
        """
        fine: list[Hit] = []
        coarse: list[Hit] = []
        cut = False
        for start in range(0, len(pool), self._batch):
            batch = pool[start : start + self._batch]
            cut = cut or (deadline is not None and time.monotonic() >= deadline)
            if cut:
                coarse += [Hit(self._memory.item(one.item), one.depth, one.score) for one in batch]
                continue
            finished, left = self._finish(query, batch)
            fine += finished
            coarse += left
        fine.sort(key=lambda hit: (-hit.score, hit.item.id))
        return Ranking(fine + coarse, len(fine), cut)

    def _finish(self, query: Granularities, batch: Sequence[Candidate]) -> tuple[list[Hit], list[Hit]]:
        starts, items = [], []
        hits: list[Hit] = []
        left: list[Hit] = []
        for candidate in batch:
            item = self._memory.item(candidate.item)
            coarse = Hit(item, candidate.depth, candidate.score)
            if candidate.depth == self._last.depth:
                hits.append(coarse)  # it left at the last exit: there is nothing to finish
            elif start := self._start(item):
                starts.append(start.tensor)
                items.append(item)
            else:
                left.append(coarse)
        if starts:
            batched = Activation(np.concatenate(starts), 0, {})
            embeddings = self._tower.embed(self._tower.advance(batched, self._last.segment), self._last)
            scores = embeddings @ query.at(self._last.depth)
            hits += [Hit(item, self._last.depth, float(score)) for item, score in zip(items, scores, strict=True)]
        return hits, left

    def _start(self, item: Item) -> Activation | None:
        """The item before the first segment; None when its content is gone, or cannot be read any more."""
        try:
            content = self._memory.content(item)
            return self._tower.start_images([content]) if content is not None else None
        except (StoreError, UnreadableItemError):
            return None
