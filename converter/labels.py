"""Survival labels: at which exits an item would pass the filter for the queries that should find it.

Cross-fitted: the heads that label one fold of the held-out items have learnt from all others. Labels by self-retrieval,
the rule of the paper's text, collapse: with taught heads an item finds itself at the first exit.
Source: Reminisce, data-aware exits; shapes: N items, K queries of each, E exits; `exits` in the order of depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.items import Floats

GALLERY = 1000  # items among which "survives" is meant; ranks in a fold of another size are scaled to it
Ranks = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Items and their queries at every exit, by heads that had seen neither.

    items:   (E, N, D) embeddings; queries: (E, N, K, D), each item's own
    known:   (N, K) whether there is such a query: not all items have K
    numbers: of the items, in the order of the data
    """

    items: Floats
    queries: Floats
    known: npt.NDArray[np.bool_]
    numbers: Rows

    @property
    def owners(self) -> Rows:
        """(Q,) row of each known query's item."""
        return np.nonzero(self.known)[0]

    def asked(self, exit_: int) -> Floats:
        """(Q, D) the known queries at one exit, in the order of `owners`."""
        made: Floats = self.queries[exit_][self.known]
        return made

    def cosines(self, exit_: int) -> Floats:
        """(Q, N) of every known query with every item."""
        made: Floats = self.asked(exit_) @ self.items[exit_].T
        return made


def rank_of_own(scores: Floats, owners: Rows) -> Ranks:
    """(Q,) how many items stand before each query's own in (Q, N) scores; equal scores and NaN count as before it."""
    own = scores[np.arange(len(scores)), owners]
    made: Ranks = ((~(scores < own[:, None])).sum(1) - 1).astype(np.int32)
    return made


def query_ranks(scored: Scored) -> Ranks:
    """(E, Q) rank of its own item for each known query at each exit."""
    return np.stack([rank_of_own(scored.cosines(e), scored.owners) for e in range(len(scored.items))])


def query_ranks_of(scores: Floats, owners: Rows) -> Ranks:
    """(E, Q) the same from (E, Q, N) scores."""
    return np.stack([rank_of_own(one, owners) for one in scores])


def survival(ranks: Ranks, owners: Rows, items: int, survive: int) -> Floats:
    """(N, E) share of an item's queries that find it among the best `survive` of 1,000; ranks (E, Q) among `items`.

    An item without queries, of which nothing is known, gets the mean of the others.
    """
    shares, asked = _shares(ranks, owners, items, survive), np.bincount(owners, minlength=items) > 0
    if asked.any():
        shares[~asked] = shares[asked].mean(0)
    return shares


def first_exits(ranks: Ranks, owners: Rows, items: int, survive: int) -> Rows:
    """(N,) the first exit at which half of an item's queries find it; items that no exit finds leave at the first.

    Riding to the end with an item that nothing finds buys nothing.
    """
    enough = _shares(ranks, owners, items, survive) >= 0.5
    return np.where(enough.any(1), enough.argmax(1), 0)


def _shares(ranks: Ranks, owners: Rows, items: int, survive: int) -> Floats:
    within = ranks < survive * items / GALLERY
    counts = np.maximum(np.bincount(owners, minlength=items), 1)
    shares = [np.bincount(owners, weights=row, minlength=items) / counts for row in within]
    return np.stack(shares, axis=1).astype(np.float32)
