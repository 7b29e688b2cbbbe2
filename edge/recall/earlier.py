"""Items that an earlier bundle embedded are found through its own towers, as long as there are any.

Of that bundle the text tower is opened by the first question that needs it, and let go when nothing remains; the image
tower passes through memory file by file, for an example that has no embedding of that bundle. What is found joins the
pool, and is finished there like an item without an activation: from its raw content, by the present bundle, which it
belongs to from then on.

What fits a text of two bundles is ranked by calibrated probability. For an example there is none, and a cosine of one
bundle says nothing beside one of the other: each has the part of the pool that it has of the items, the earlier ones
are finished first and ranked by what the present bundle sees in them, and those that were not come last.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.items import Floats
from edge.memory import Rows
from edge.recall.asked import Asked
from edge.recall.candidate import Candidate
from edge.recall.example import Examples, Picture, Remembered
from edge.recall.filtering import Filter
from edge.recall.granularity import Query
from edge.runtime import TowerRunner
from edge.seldom import Seldom

_log = logging.getLogger(__name__)


class Earlier:
    """One bundle's part. The thread that asks; `follow` from any other.

    is_lost:     its query tower could not be opened, or fails: what it embedded is not found by text
    is_left_out: the last question could not be compared with its items
    """

    def __init__(
        self,
        filtering: Filter,
        open_text: Callable[[], TowerRunner],
        open_image: Callable[[], TowerRunner],
        folder: Path,
    ) -> None:
        """`filtering` is over its items; the others open its towers; `folder` is said where that fails."""
        self._filtering, self._folder = filtering, folder
        self._open_text, self._open_image = open_text, open_image
        self._asked: Asked | None = None
        self._examples: Examples | None = None
        self._blind = Seldom(_log)
        self.is_lost = self.is_left_out = False

    def refresh(self) -> int:
        """Bring its index up to date; returns how many items it has."""
        count = self._filtering.refresh()
        if not count:
            self._asked = self._examples = None
        return count

    def follow(self) -> None:
        """See Filter."""
        self._filtering.follow()
        self.refresh()

    @property
    def damaged(self) -> int:
        """See Filter."""
        return self._filtering.damaged

    @property
    def is_open(self) -> bool:
        """Whether its text tower takes memory."""
        return self._asked is not None

    def held(self, admitted: Rows | None) -> int:
        """How many of these ids are its items; None: of all."""
        return self._filtering.held(admitted)

    def best(
        self, text: str, count: int, admitted: Rows | None = None, picture: Picture | None = None
    ) -> list[Candidate]:
        """At most `count` candidates, best first; none when nothing remains, or is left out.

        Raises StoreError; MemoryError for a sentence.
        """
        self.is_left_out = False
        if not self.refresh():
            return []
        if self.is_lost and picture is None:
            self.is_left_out = True
            return []
        try:
            query = self._query(text, picture)
            for depth in self._filtering.depths:
                query.at(depth)
        except Exception as error:  # its files may go at any time: whoever asks gets all the others
            if isinstance(error, MemoryError) and picture is None:
                raise  # nothing was lost: there may be memory for the next question
            self.is_left_out = True
            self._tell(error, picture)
            return []
        return [replace(one, is_earlier=True) for one in self._filtering.best(query, count, admitted)]

    def _query(self, text: str, picture: Picture | None) -> Query:
        if picture is None:
            return self._words(text)
        words = self._words(text) if text else None
        if (embedding := self._stored(picture)) is not None:
            return Remembered(embedding, words)
        self._examples = examples = self._examples or Examples(self._open_image())
        return examples.embed(picture, words)

    def _words(self, text: str) -> Query:
        self._asked = asked = self._asked or Asked(self._open_text(), self._filtering.items)
        return asked.embed(text)

    def _stored(self, picture: Picture) -> Floats | None:
        """(D,) of an example that this bundle has embedded, at its exit."""
        if picture.item is None:
            return None
        for depth in self._filtering.depths:
            _, found = self._filtering.stored(depth, np.array([picture.item], dtype=np.int64))
            if len(found):
                embedding: Floats = found[0]
                return embedding
        return None

    def _tell(self, error: Exception, picture: Picture | None) -> None:
        if picture is not None:
            line = "the earlier bundle in %s cannot look at an example, what it embedded is left out: %s: %s"
            self._blind.say(logging.WARNING, line, self._folder, type(error).__name__, error)
            return
        self.is_lost, self._asked = True, None
        _log.error("the earlier bundle in %s answers no more: what it embedded is found again once it is"
                   " encoded anew: %s", self._folder, error)  # fmt: skip


def join(present: Sequence[Candidate], earlier: Sequence[Sequence[Candidate]], count: int) -> list[Candidate]:
    """The `count` best of all, best first; of an item that was just switched the present bundle's."""
    known = {one.item for one in present}
    older = [one for part in earlier for one in part if one.item not in known]
    return sorted([*present, *older], key=lambda one: one.order)[:count]


def join_alike(
    present: Sequence[Candidate],
    earlier: Sequence[Sequence[Candidate]],
    shares: Sequence[float],
    pool: int,
    count: int,
) -> list[Candidate]:
    """The same for an example; of the first `pool`, which will be finished, each earlier bundle's share comes first.

    shares: of all items that were searched, those of each earlier bundle, 0 to 1
    """
    known = {one.item for one in present}
    parts = [[one for one in part if one.item not in known] for part in earlier]
    sizes = [math.ceil(pool * share) for share in shares]
    first = [one for part, size in zip(parts, sizes, strict=True) for one in part[:size]]
    behind = [part[size:] for part, size in zip(parts, sizes, strict=True)]
    return [*first, *join(present, behind, count)][:count]
