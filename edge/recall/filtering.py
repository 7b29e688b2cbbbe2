"""Speculative filtering: the question against the coarse embeddings of every exit.

Source: Reminisce, round 1 of speculative fine-grained retrieval. Each exit is searched with the question's embedding
for it, and what the exits find is merged by the logit of its relevance, which is comparable across exits. Of a bundle
that is not calibrated the cosines are compared as they are.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from edge.bundle import Calibration, Tower
from edge.items import Floats, Hit
from edge.memory import AnnoyIndex, ExactIndex, Index, Memory, Partition, annoy_is_installed
from edge.recall.granularity import Granularities
from edge.relevance import sigmoid

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class _Searchable:
    """One exit. A calibrated score is the product of two longer vectors: (cosine * query, 1) and (item, offset)."""

    part: Partition
    calibration: Calibration | None
    index: Index

    def best(self, query: Floats, count: int) -> list[Candidate]:
        depth, map_ = self.part.depth, self.calibration
        if map_ is not None:
            query = np.append(np.float32(map_.cosine) * query, np.float32(1))
        rows, scores = self.index.search(query, count)
        ids = self.part.ids[rows].tolist()
        if map_ is None:
            return [Candidate(item, depth, score) for item, score in zip(ids, scores.tolist(), strict=True)]
        cosines = (scores - self.part.offsets[rows]) / np.float32(map_.cosine)
        found = zip(ids, cosines.tolist(), scores.tolist(), strict=True)
        return [Candidate(item, depth, cosine, logit) for item, cosine, logit in found]


class Filter:
    """Finds the best coarse answers; its indexes follow the memory."""

    def __init__(self, memory: Memory, items: Tower, annoy_from: int) -> None:
        """`items` is the tower that the items left."""
        self._memory, self._items, self._annoy_from = memory, items, annoy_from
        self._version = -1
        self._exits: list[_Searchable] = []
        self._warned = False

    def refresh(self) -> int:
        """Bring the indexes up to date; returns how many items can be found."""
        if self._version != self._memory.version:
            version = self._memory.version
            self._exits = [self._searchable(part) for part in self._memory.partitions()]
            self._version = version
        return sum(len(exit_.part.ids) for exit_ in self._exits)

    @property
    def depths(self) -> tuple[int, ...]:
        """The exits at which items were stored when it was last refreshed."""
        return tuple(exit_.part.depth for exit_ in self._exits)

    def best(self, query: Granularities, count: int) -> list[Candidate]:
        """At most `count` candidates for a question, best first."""
        self.refresh()
        found = [one for exit_ in self._exits for one in exit_.best(query.at(exit_.part.depth), count)]
        return sorted(found, key=lambda candidate: candidate.order)[:count]

    def _searchable(self, part: Partition) -> _Searchable:
        map_ = self._items.exit_at(part.depth).calibration
        vectors = part.embeddings
        if map_ is not None:
            vectors = np.concatenate([vectors, part.offsets[:, None]], axis=1)
        return _Searchable(part, map_, self._index(vectors))

    def _index(self, embeddings: Floats) -> Index:
        if len(embeddings) < self._annoy_from:
            return ExactIndex(embeddings)
        if annoy_is_installed():
            return AnnoyIndex(embeddings)
        if not self._warned:
            self._warned = True
            _log.warning(
                "annoy is not installed: searching %d items exactly, which is slower but finds the same;"
                " `pip install reminisce-edge[annoy]`",
                len(embeddings),
            )
        return ExactIndex(embeddings)
