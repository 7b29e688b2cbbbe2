"""Fine-grained correcting: the pool is finished to the last exit and ranked again.

Source: Reminisce, round 3 of speculative fine-grained retrieval. The pool goes on from its cached activations, from raw
content where there is none; it is ranked by the calibrated score at the last exit, by the cosine there where the bundle
has no calibration.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.bank import Banks
from edge.errors import StoreError, UnreadableItemError
from edge.items import Floats, Hit
from edge.memory import Halfway, Memory
from edge.recall.filtering import Candidate, hits
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

    def __init__(
        self, tower: TowerRunner, memory: Memory, banks: Banks, batch: int, halfway: Halfway | None = None
    ) -> None:
        """`halfway` has the activations of what left early; None: everything is encoded again."""
        self._halfway = halfway
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
        return Ranking(hits(fine + coarse, self._memory), len(fine), cut)

    def _finish(self, query: Granularities, batch: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        starts: list[tuple[Activation, int]] = []
        fine: list[Candidate] = []
        left: list[Candidate] = []
        for candidate in batch:
            if candidate.depth == self._last.depth:
                fine.append(candidate)  # it left at the last exit: there is nothing to finish
            elif start := self._start(candidate.item):
                starts.append((start, candidate.item))
            else:
                left.append(candidate)
        if starts:
            starts.sort(key=lambda start: start[0].segment)
            embeddings = self._ride([start for start, _ in starts])
            fine += self._scored([item for _, item in starts], embeddings, embeddings @ query.at(self._last.depth))
        return fine, left

    def _ride(self, starts: Sequence[Activation]) -> Floats:
        """Items from shallow to deep, one each -> (N, D) at the last exit; who is deeper joins where it comes by."""
        batch = starts[0]
        for segment, joining in itertools.groupby(starts[1:], key=lambda start: start.segment):
            batch = self._tower.advance(batch, segment - 1)
            batch = Activation(np.concatenate([batch.tensor, *(one.tensor for one in joining)]), segment, {})
        return self._tower.embed(self._tower.advance(batch, self._last.segment), self._last)

    def _scored(self, items: Sequence[int], embeddings: Floats, cosines: Floats) -> list[Candidate]:
        """(N, D) embeddings at the last exit and (N,) cosines with the question there."""
        depth, map_ = self._last.depth, self._last.calibration
        if map_ is None:
            return [Candidate(item, depth, cosine) for item, cosine in zip(items, cosines.tolist(), strict=True)]
        logits = np.float32(map_.cosine) * cosines + self._banks.offsets(embeddings, self._last)
        found = zip(items, cosines.tolist(), logits.tolist(), strict=True)
        return [Candidate(item, depth, cosine, logit) for item, cosine, logit in found]

    def _start(self, item: int) -> Activation | None:
        """The item where it can go on; None when its content is gone, or cannot be read any more."""
        if self._halfway and (found := self._halfway.find(item)):
            return Activation(found[1], found[0], {})
        try:
            content = self._memory.content(self._memory.item(item))
            return self._tower.start_images([content]) if content is not None else None
        except (StoreError, UnreadableItemError, KeyError):  # KeyError: it was forgotten since it was found
            return None
