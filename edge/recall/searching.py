"""The coarse search for one question: over each modality of the present bundle, and over what earlier ones embedded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.memory import Rows
from edge.recall.candidate import Candidate
from edge.recall.earlier import Earlier, join, join_alike
from edge.recall.filtering import Filter
from edge.recall.granularity import Query
from edge.recall.meaning import Meaning

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Candidates, best first, and how long the earlier bundles and the present one took for them."""

    candidates: list[Candidate]
    earlier_ms: float
    present_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One question, and the indexes that it is compared with. One thread at a time.

    earlier:  the bundles before, which embed the question themselves
    present:  indexes over items of the present bundle, each with the question as its exits see it; pictures last
    admitted: (A,) ids that may be found; None: all
    held:     how many of them there were at each of `earlier` and `present`
    ready_ms: it took to know that and to bring the indexes up to date; query_ms: to embed the question
    """

    meaning: Meaning
    earlier: Sequence[Earlier]
    present: Sequence[tuple[Filter, Query]]
    admitted: Rows | None
    held: Sequence[int]
    ready_ms: float
    query_ms: float

    @property
    def query(self) -> Query:
        """The question as the exits of pictures see it."""
        return self.present[-1][1]

    def best(self, count: int, pool: int) -> Shortlist:
        """At least the `count` best, and behind them some that are not the next best. Raises StoreError.

        `pool`: so many of them will be finished.
        """
        # Before the present bundle's: an item that is switched meanwhile is found at both, never at none.
        older, earlier_ms = timed(lambda: self._older(count))
        present, present_ms = timed(lambda: self._present(count))
        if self.meaning.by_picture:
            shares = [held / max(1, sum(self.held)) for held in self.held[: len(older)]]
            return Shortlist(join_alike(present, older, shares, pool, count), earlier_ms, present_ms)
        # All of them, for the pool counts pictures alone.
        return Shortlist(join(present, older, len(present) + sum(map(len, older))), earlier_ms, present_ms)

    @property
    def left_out(self) -> int:
        """Items of earlier bundles that could not be asked; known behind a search."""
        # Whether an earlier bundle can look at an example shows when it does.
        return sum(held for one, held in zip(self.earlier, self.held, strict=False) if one.is_left_out)

    def _older(self, count: int) -> list[list[Candidate]]:
        meant = self.meaning
        return [self._besides(one.best(meant.words, count, self.admitted, meant.picture)) for one in self.earlier]

    def _present(self, count: int) -> list[Candidate]:
        found = [filtering.best(query, count, self.admitted) for filtering, query in self.present]
        return self._besides([one for part in found for one in part])

    def _besides(self, found: Sequence[Candidate]) -> list[Candidate]:
        return [one for one in found if one.item != self.meaning.itself]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and how many milliseconds it took."""
    start = time.monotonic()
    return work(), (time.monotonic() - start) * 1e3
