"""Speculative filtering: the question against the coarse embeddings of every exit.

Source: Reminisce, round 1 of speculative fine-grained retrieval. Each exit is searched with the question's embedding
for it, and what the exits find is merged by the logit of its relevance, which is comparable across exits. Of a bundle
that is not calibrated the cosines are compared as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge.bundle import Tower
from edge.items import Floats, Hit
from edge.memory import Memory
from edge.recall.granularity import Granularities
from edge.relevance import sigmoid


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item id, the depth of its embedding, the cosine there with the question, and the logit of its relevance.

    logit: None where the bundle is not calibrated
    """

    item: int
    depth: int
    score: float
    logit: float | None = None

    @property
    def order(self) -> tuple[float, int]:
        """Sorts the best first."""
        return -(self.score if self.logit is None else self.logit), self.item

    def hit(self, memory: Memory) -> Hit:
        """As an answer. Raises StoreError, KeyError."""
        relevance = None if self.logit is None else float(sigmoid(np.array(self.logit, dtype=np.float32)))
        return Hit(memory.item(self.item), self.depth, self.score, relevance)


def hits(candidates: Iterable[Candidate], memory: Memory) -> list[Hit]:
    """Those that are still there: an item may be forgotten while it is asked for. Raises StoreError."""
    found: list[Hit] = []
    for one in candidates:
        with contextlib.suppress(KeyError):
            found.append(one.hit(memory))
    return found


class Filter:
    """Finds the best coarse answers. Its index is brought up to date by every question, and beside them by `follow`."""

    def __init__(self, memory: Memory, items: Tower, annoy_from: int) -> None:
        """`items` is the tower that the items left."""
        self._calibrated = {place.depth: place.calibration is not None for place in items.exits}
        scales = {place.depth: place.calibration.cosine if place.calibration else 1.0 for place in items.exits}
        self._index = memory.open_index(items.modality, scales, annoy_from)

    def refresh(self) -> int:
        """Bring the index up to date; returns how many items can be found."""
        self._index.refresh()
        return len(self._index)

    def follow(self) -> None:
        """The same, and what takes long: to be called every second or so, by a thread that no question waits for."""
        self._index.follow()

    @property
    def depths(self) -> tuple[int, ...]:
        """The exits at which items were stored when it was last refreshed."""
        return self._index.depths

    def best(self, query: Granularities, count: int) -> list[Candidate]:
        """At most `count` candidates for a question, best first."""
        self.refresh()
        found = [one for depth in self.depths for one in self._best_at(depth, query.at(depth), count)]
        return sorted(found, key=lambda candidate: candidate.order)[:count]

    def _best_at(self, depth: int, query: Floats, count: int) -> list[Candidate]:
        found = self._index.search(depth, query, count)
        logits = found.scores.tolist() if self._calibrated[depth] else [None] * len(found.ids)
        rows = zip(found.ids.tolist(), found.cosines.tolist(), logits, strict=True)
        return [Candidate(item, depth, cosine, logit) for item, cosine, logit in rows]
