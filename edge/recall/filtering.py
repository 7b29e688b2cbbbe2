"""Speculative filtering: the question against the coarse embeddings of every exit.

Source: Reminisce, round 1 of speculative fine-grained retrieval. Each exit is searched with the question's embedding
for it, and its best are those of the largest logit of relevance; of a bundle that is not calibrated, and for
an example, of the largest cosine.
"""

from __future__ import annotations

from edge.bundle import Tower
from edge.items import Floats
from edge.memory import Flags, Memory, Origin, Rows
from edge.recall.candidate import Candidate
from edge.recall.granularity import Query
from edge.recall.verifying import verify


class Filter:
    """Finds the best coarse answers. Its index is brought up to date by every question, and beside them by `follow`."""

    def __init__(self, memory: Memory, items: Tower, annoy_from: int, origin: Origin | None = None) -> None:
        """`items` is the tower that the items left: the present bundle's, or that of `origin`."""
        self.items = items
        self._last = () if origin else (items.exits[-1].depth,)
        self._calibrated = {place.depth: place.calibration is not None for place in items.exits}
        scales = {place.depth: place.calibration.cosine if place.calibration else 1.0 for place in items.exits}
        if origin is None:
            self._index = memory.open_index(items.modality, scales, annoy_from)
        else:
            self._index = memory.open_earlier_index(origin, items.modality, scales, annoy_from)

    def refresh(self) -> int:
        """Bring the index up to date; returns how many items can be found."""
        self._index.refresh()
        return len(self._index)

    def follow(self) -> None:
        """The same, and what takes long: to be called every second or so, by a thread that no question waits for."""
        self._index.follow()

    @property
    def damaged(self) -> int:
        """How often the index's files were found damaged; they were made anew."""
        return self._index.damaged

    @property
    def depths(self) -> tuple[int, ...]:
        """Where it searches, shallow to deep: the exits that held items when it was last refreshed.

        And the last, which questions bring items to meanwhile; none goes there by an earlier bundle any more.
        """
        return tuple(dict.fromkeys((*self._index.depths, *self._last)))

    @property
    def is_calibrated(self) -> bool:
        """Whether what it finds has a relevance, at whatever exit."""
        return all(self._calibrated.values())

    def held(self, admitted: Rows | None) -> int:
        """How many of these ids can be found; None: of all."""
        return len(self._index) if admitted is None else self._index.held(admitted)

    def stored(self, depth: int, items: Rows) -> tuple[Flags, Floats]:
        """(N,) ids -> which of them can be found at one exit, and (F, D) embeddings of those."""
        return self._index.embeddings(depth, items)

    def best(self, query: Query, count: int, admitted: Rows | None = None) -> list[Candidate]:
        """At most `count` candidates for a question, best first, an item once; only of the `admitted` ids, if given."""
        self.refresh()
        # Items that are refined meanwhile go from shallow to the last: in this order none is missed.
        return verify([self._best_at(depth, query, count, admitted) for depth in self.depths], count)

    def _best_at(self, depth: int, query: Query, count: int, admitted: Rows | None) -> list[Candidate]:
        found = self._index.search(depth, query.at(depth), count, admitted, by_cosine=not query.is_calibrated)
        is_calibrated = query.is_calibrated and self._calibrated[depth]
        logits = found.scores.tolist() if is_calibrated else [None] * len(found.ids)
        rows = zip(found.ids.tolist(), found.cosines.tolist(), logits, strict=True)
        modality = self.items.modality
        return [Candidate(item, depth, cosine, logit, modality=modality) for item, cosine, logit in rows]
