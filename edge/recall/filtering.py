"""Speculative filtering: the question against the coarse embeddings of every exit.

Source: Reminisce, round 1 of speculative fine-grained retrieval. Each exit is searched with the question's embedding
for it. Scores are cosines, and those of different exits are compared as they are: right while all items leave at one
exit, as they do so far. A bundle's calibration is not used yet: the item's offset that it needs is not stored.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from edge.items import Floats
from edge.memory import AnnoyIndex, ExactIndex, Index, Memory, Rows, annoy_is_installed
from edge.recall.granularity import Granularities

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item id, the depth of its embedding, and the cosine there with the question."""

    item: int
    depth: int
    score: float


@dataclass(frozen=True, slots=True)
class _Searchable:
    depth: int
    ids: Rows
    index: Index


class Filter:
    """Finds the best coarse answers; its indexes follow the memory."""

    def __init__(self, memory: Memory, annoy_from: int) -> None:
        self._memory, self._annoy_from = memory, annoy_from
        self._version = -1
        self._exits: list[_Searchable] = []
        self._warned = False

    def refresh(self) -> int:
        """Bring the indexes up to date; returns how many items can be found."""
        if self._version != self._memory.version:
            version = self._memory.version
            self._exits = [
                _Searchable(part.depth, part.ids, self._index(part.embeddings)) for part in self._memory.partitions()
            ]
            self._version = version
        return sum(len(exit_.ids) for exit_ in self._exits)

    @property
    def depths(self) -> tuple[int, ...]:
        """The exits at which items were stored when it was last refreshed."""
        return tuple(exit_.depth for exit_ in self._exits)

    def best(self, query: Granularities, count: int) -> list[Candidate]:
        """At most `count` candidates for a question, best first."""
        self.refresh()
        found = []
        for exit_ in self._exits:
            rows, scores = exit_.index.search(query.at(exit_.depth), count)
            found += [
                Candidate(int(exit_.ids[row]), exit_.depth, float(score))
                for row, score in zip(rows, scores, strict=True)
            ]
        return sorted(found, key=lambda candidate: (-candidate.score, candidate.item))[:count]

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
