"""Recall of every way to search what a memory kept, over all captions, from the rows that it stores.

Each question is not put to the device: what its pool holds and how it ranks that follows from the stored rows and from
the photos as the device finishes them, once each, out of its INT4 activations. That the device answers the same is
checked with some of the questions, see `Judge.best_photos`.

Shapes: P photos, Q questions, M the largest pool, D the shared space. Source: Reminisce, speculative fine-grained
retrieval; what it warns of is the way `single`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge.bench.exits import MISSED
from edge.bench.exits import recall as recall_of
from edge.bench.recall.baselines import Way
from edge.bench.recall.device import HITS
from edge.bundle import Tower
from edge.items import Floats

MOST = 100
Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of questions whose own photo is first, among the first five, among the first ten."""

    at_1: float
    at_5: float
    at_10: float


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What a memory keeps of its photos, in their order: (P,) depths, (P, D) embeddings, (P,) offsets.

    fine, fine_offsets: (P, D) and (P,) at the last exit, as the device finishes them
    """

    depths: Numbers
    embeddings: Floats
    offsets: Floats
    fine: Floats
    fine_offsets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """The M best photos of each question, best first: (Q, M) numbers, scores, and whether they are at the last exit."""

    photos: Numbers
    scores: Floats
    done: npt.NDArray[np.bool_]


class Judge:
    """Holds every question's embedding at every exit. owners: (Q,) number of each one's own photo."""

    def __init__(self, items: Tower, queries: Mapping[int, Floats], owners: Numbers) -> None:
        """`queries`: (Q, D) by the depth of the exit that they are for."""
        self._calibrations = {place.depth: place.calibration for place in items.exits}
        self._last, self._queries, self.owners = items.exits[-1].depth, queries, owners

    @property
    def is_calibrated(self) -> bool:
        """Whether the scores of what is finished are logits of relevance."""
        return self._calibrations[self._last] is not None

    def pools(self, stored: Stored, way: Way, without: npt.NDArray[np.bool_] | None = None) -> Pools:
        """single: by cosine with the full-depth embedding; naive: with each exit's; calibrated: by logit, as we do.

        without: (Q, P) photos that are not there for a question; their score is -inf, finished or not
        """
        scores = np.empty((len(self.owners), len(stored.depths)), dtype=np.float32)
        for depth in np.unique(stored.depths).tolist():
            here = stored.depths == depth
            asked = self._last if way == "single" else depth
            scores[:, here] = self._scores(
                asked, stored.embeddings[here], stored.offsets[here], calibrated=way == "calibrated"
            )
        if without is not None:
            scores[without] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :MOST]
        return Pools(best, np.take_along_axis(scores, best, axis=1), (stored.depths == self._last)[best])

    def recall(self, stored: Stored, pools: Pools, pool: int, finished: int | None = None) -> Recall:
        """With the first `pool` of each question finished to the last exit; only the first `finished`, best first."""
        return Recall(*recall_of(self._ranks(stored, pools, pool, finished)))

    def best_photos(self, stored: Stored, pools: Pools, pool: int, question: int, count: int) -> list[int]:
        """Numbers of the first `count` photos of one question, best first."""
        values = self._values(stored, pools, pool, None)[question]
        order = np.argsort(-values[:pool], kind="stable")
        return [*pools.photos[question, :pool][order].tolist(), *pools.photos[question, pool:].tolist()][:count]

    def best(self, stored: Stored, pools: Pools, pool: int) -> Floats:
        """(Q,) the largest score of what a question looks at that says `min_relevance`: the pool, and ten behind it."""
        made: Floats = self._values(stored, pools, pool, None)[:, : pool + HITS].max(1)
        return made

    def own(self, stored: Stored, pools: Pools, pool: int, within: int) -> Floats:
        """(Q,) the score of each question's own photo where it is one of the first `within`, else NaN."""
        values = self._values(stored, pools, pool, None)
        hit = self._ranks(stored, pools, pool, None) < within
        own = np.where(pools.photos == self.owners[:, None], values, -np.inf).max(1)
        made: Floats = np.where(hit, own, np.float32(np.nan))
        return made

    def _ranks(self, stored: Stored, pools: Pools, pool: int, finished: int | None) -> Numbers:
        """(Q,) how many stand before each question's own; who is behind the pool stays where it is."""
        values = self._values(stored, pools, pool, finished)
        own = pools.photos == self.owners[:, None]
        place = np.where(own.any(1), own.argmax(1), MISSED)
        mine = np.take_along_axis(values, np.minimum(place, values.shape[1] - 1)[:, None], axis=1)
        within = (values[:, :pool] >= mine).sum(1) - 1  # equal scores count as before it
        return np.where(place < pool, within, place)

    def _values(self, stored: Stored, pools: Pools, pool: int, finished: int | None) -> Floats:
        """(Q, M) scores, fine ones where they are known."""
        known = self._scores(self._last, stored.fine, stored.fine_offsets, calibrated=True)
        fine = np.take_along_axis(known, pools.photos, axis=1)
        todo = ~pools.done
        todo[:, pool:] = False
        if finished is not None:
            todo &= todo.cumsum(1) <= finished
        made = np.where((todo | pools.done) & (pools.scores > -np.inf), fine, pools.scores)
        if not self.is_calibrated:  # then not comparable: the finished ones stand first, see Corrector
            made -= np.float32(4.0) * ~(todo | pools.done)
        return made

    def _scores(self, depth: int, embeddings: Floats, offsets: Floats, *, calibrated: bool) -> Floats:
        cosines: Floats = self._queries[depth] @ embeddings.T
        found = self._calibrations[depth] if calibrated else None
        return cosines if found is None else np.float32(found.cosine) * cosines + offsets
