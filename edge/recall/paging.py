"""The part of a ranking that a question wants: what is relevant enough, perhaps collapsed, from its offset on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.items import Question
from edge.recall.candidate import Candidate
from edge.recall.collapsing import REACH, Group, Stored, collapse
from edge.recall.correcting import Ranked

_SPARE = 16  # copies that may be collapsed before the memory is searched again: 6 ms among 100,000 items
_WIDER = 4  # from step to step: all steps look at a third more than one to the end, the first at a quarter of the next


def wanted(question: Question, pool: int) -> int:
    """Candidates to look for, so that the page is full if there are that many relevant ones, and few are copies."""
    spare = _SPARE if question.collapse else 0
    # Any of the pool may turn out to be irrelevant when it is finished.
    return max(pool, question.offset + question.limit + spare + (pool if question.least is not None else 0))


class Pages:
    """What was found for one question, and the page of it that it asks for. One thread at a time."""

    def __init__(
        self,
        question: Question,
        pool: Sequence[Candidate],
        rest: Sequence[Candidate],
        stored: Stored,
        search: Callable[[int], Sequence[Candidate]],
        most: int,
    ) -> None:
        """`rest` is what was found behind the pool, best first.

        search: of a count, the best so many of all, the pool among them, for when a page is not full
        most:   how many were looked for so far, see `wanted`; with fewer in the pool and the rest, there are no others
        """
        self._question, self._pool, self._rest = question, pool, rest
        self._stored, self._search = stored, search
        self._end = question.offset + question.limit
        self._looked_for = most
        # However many of those within reach are collapsed, the others fill the page.
        self._furthest = max(most, self._end + max(REACH, len(pool)))
        # Without collapsing, a page that is not full is the last.
        self._has_more = question.collapse and len(pool) + len(rest) >= most and most < self._furthest

    @property
    def found(self) -> Sequence[Candidate]:
        """All so far, best first."""
        return [*self._pool, *self._rest]

    def page(self, ranked: Sequence[Ranked]) -> list[Group]:
        """Of the pool as it is ranked by now, and the rest. Without a relevance nothing is relevant enough."""
        groups = self._groups(ranked)
        while len(groups) < self._question.limit and self._has_more and self._ends_relevant():
            self._look_further()
            groups = self._groups(ranked)
        return groups

    def _look_further(self) -> None:
        """Step by step: all within reach cost 14 ms of 10,000 items, where two collapsed hits ask for two more."""
        self._looked_for = min(_WIDER * self._looked_for, self._furthest)
        found = self._search(self._looked_for)
        self._has_more = len(found) == self._looked_for < self._furthest
        known = {one.item for one in self._pool}
        self._rest = [one for one in found if one.item not in known]

    def _ends_relevant(self) -> bool:
        """Whether what comes behind all that was found may be relevant enough."""
        return not self._rest or self._is_relevant(self._rest[-1])

    def _is_relevant(self, one: Candidate) -> bool:
        least = self._question.least
        return least is None or (one.relevance is not None and one.relevance >= least)

    def _groups(self, ranked: Sequence[Ranked]) -> list[Group]:
        found = [one for one in [*ranked, *map(Ranked, self._rest)] if self._is_relevant(one.best)]
        if self._question.collapse:
            return collapse(found, self._stored, self._end)[self._question.offset :]
        return [(one,) for one in found[self._question.offset : self._end]]
