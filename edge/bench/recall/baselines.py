"""Ways to search a memory that are not ours: the one that the paper warns of, and merging without calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from edge.items import Floats
from edge.recall import Retriever
from edge.recall.meaning import Meaning

Way: TypeAlias = Literal["single", "naive", "calibrated"]


class Recast:
    """A question that is compared with the items of each exit by cosine alone. See edge.recall, Query."""

    is_calibrated = False

    def __init__(self, at: Callable[[int], Floats]) -> None:
        """`at`: the (D,) embedding for the exit at a depth."""
        self.at = at


class Naive(Retriever):
    """Merges the cosines of all exits as they are, each with the question's embedding for it."""

    def _query(self, meaning: Meaning) -> Recast:
        return Recast(super()._query(meaning).at)


class Single(Retriever):
    """Has only the full-depth embedding of the question, for the items of every exit."""

    def _query(self, meaning: Meaning) -> Recast:
        query, last = super()._query(meaning), self._correcting.tower.spec.exits[-1].depth
        return Recast(lambda _depth: query.at(last))


RETRIEVERS: Mapping[Way, type[Retriever]] = {"single": Single, "naive": Naive, "calibrated": Retriever}
