"""A question's way: one text pass, the coarse search, the pool finished, the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from edge.bundle import Tower
from edge.items import Answer, Question, happened_at
from edge.memory import Memory
from edge.recall.correcting import Corrector
from edge.recall.filtering import Filter, hits
from edge.recall.granularity import Granularities
from edge.runtime import TowerRunner

T = TypeVar("T")


class Retriever:
    """Answers questions about what the memory holds. One question at a time."""

    def __init__(
        self,
        text: TowerRunner,
        items: Tower,
        filtering: Filter,
        correcting: Corrector,
        memory: Memory,
        pool: int,
    ) -> None:
        """`items` encodes what is stored; of it the `pool` best are finished for each question; 0 finishes none."""
        self._text, self._items, self._memory = text, items, memory
        self._filtering, self._correcting = filtering, correcting
        self._pool = pool

    def ask(self, question: Question) -> Answer:
        """The best items for a sentence. Raises StoreError."""
        pool = self._pool if question.refine else 0
        searched, refresh_ms = _timed(self._filtering.refresh)
        query, query_ms = _timed(lambda: self._embed(question.text))
        found, filter_ms = _timed(lambda: self._filtering.best(query, max(pool, question.limit)))
        ranking, correct_ms = _timed(lambda: self._correcting.rank(query, found[:pool], question.deadline))
        ranked = [*ranking.hits, *hits(found[pool : question.limit], self._memory)][: question.limit]
        if question.sort == "time":
            ranked.sort(key=lambda hit: (-happened_at(hit.item), hit.item.id))
        return Answer(
            question=question.text,
            hits=tuple(ranked),
            searched=searched,
            refined=ranking.refined,
            cut=ranking.cut,
            query_ms=query_ms,
            filter_ms=refresh_ms + filter_ms,
            correct_ms=correct_ms,
        )

    def _embed(self, question: str) -> Granularities:
        """With the heads of all occupied exits run, so that their time counts as the text tower's."""
        query = Granularities(self._text, self._items, question)
        for depth in self._filtering.depths:
            query.at(depth)
        return query


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.monotonic()
    return work(), (time.monotonic() - start) * 1e3
