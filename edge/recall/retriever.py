"""A question's way: one text pass, the coarse search, the pool finished, the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from edge.items import Answer, Floats, Hit
from edge.memory import Memory
from edge.recall.correcting import Corrector
from edge.recall.filtering import Filter
from edge.runtime import TowerRunner

T = TypeVar("T")


class Retriever:
    """Answers questions about what the memory holds."""

    def __init__(self, text: TowerRunner, filtering: Filter, correcting: Corrector, memory: Memory) -> None:
        self._text, self._filtering, self._correcting, self._memory = text, filtering, correcting, memory
        self._exit = text.spec.exits[-1]

    def ask(self, question: str, limit: int, pool: int) -> Answer:
        """The `limit` best items for a sentence; `pool` best coarse ones are finished first, 0 finishes none."""
        query, query_ms = _timed(lambda: self._embed(question))
        searched, refresh_ms = _timed(self._filtering.refresh)
        found, filter_ms = _timed(lambda: self._filtering.best(query, max(pool, limit)))
        (hits, refined), correct_ms = _timed(lambda: self._correcting.rank(query, found[:pool]))
        hits += [Hit(self._memory.item(one.item), one.depth, one.score) for one in found[pool:limit]]
        return Answer(
            question=question,
            hits=tuple(hits[:limit]),
            searched=searched,
            refined=refined,
            query_ms=query_ms,
            filter_ms=refresh_ms + filter_ms,
            correct_ms=correct_ms,
        )

    def _embed(self, question: str) -> Floats:
        activation = self._text.advance(self._text.start_texts([question]), self._exit.segment)
        embedding: Floats = self._text.embed(activation, self._exit)[0]
        return np.ascontiguousarray(embedding)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.monotonic()
    return work(), (time.monotonic() - start) * 1e3
