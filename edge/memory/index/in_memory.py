"""Nearest embeddings of one exit: exact for thousands of items, an Annoy forest beyond."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Rows

TREES = 20  # fewer lose recall, more take memory: the forest is about as large as the embeddings
SEED = 20251125
_RESCORED = 10  # candidates rescored exactly for each answer wanted; more finds more and takes longer


class Index(Protocol):
    """The rows of one matrix of embeddings that lie nearest to a query."""

    def search(self, query: Floats, count: int) -> tuple[Rows, Floats]:
        """(D,) -> at most `count` row numbers and their cosines, best first; equal cosines in row order."""


class ExactIndex:
    """One matrix product over (N, D) embeddings of unit L2 norm."""

    def __init__(self, embeddings: Floats) -> None:
        self._embeddings = embeddings

    def search(self, query: Floats, count: int) -> tuple[Rows, Floats]:
        """See `Index.search`."""
        return _best(np.arange(len(self._embeddings)), self._embeddings @ query, count)


class AnnoyIndex:
    """A forest over (N, D) embeddings, its candidates rescored exactly. Built in memory from a fixed seed."""

    def __init__(self, embeddings: Floats) -> None:
        from annoy import AnnoyIndex as Forest  # noqa: PLC0415 - optional: it needs a compiler where there is no wheel

        self._embeddings = embeddings
        self._forest = Forest(embeddings.shape[1], "dot")
        self._forest.set_seed(SEED)
        for row, embedding in enumerate(embeddings):
            self._forest.add_item(row, embedding)
        self._forest.build(TREES, n_jobs=1)

    def search(self, query: Floats, count: int) -> tuple[Rows, Floats]:
        """See `Index.search`; approximate."""
        rows = np.array(self._forest.get_nns_by_vector(query, count * _RESCORED), dtype=np.int64)
        rows.sort()
        return _best(rows, self._embeddings[rows] @ query, count)


def _best(rows: Rows, scores: Floats, count: int) -> tuple[Rows, Floats]:
    order = np.argsort(-scores, kind="stable")[:count]
    return rows[order], scores[order]
