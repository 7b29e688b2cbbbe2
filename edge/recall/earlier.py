"""Items that an earlier bundle embedded are found through its own query tower, as long as there are any.

Of that bundle only the text tower is opened, by the first question that needs it, and let go when nothing remains. What
it finds joins the pool by calibrated probability, and is finished there like an item without an activation: from its
raw content, by the present bundle, which it belongs to from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edge.memory import Rows
from edge.recall.asked import Asked
from edge.recall.candidate import Candidate
from edge.recall.filtering import Filter
from edge.runtime import TowerRunner

_log = logging.getLogger(__name__)


class Earlier:
    """One bundle's part. The thread that asks; `follow` from any other.

    is_lost: its query tower could not be opened, or fails: what it embedded is not found
    """

    def __init__(self, filtering: Filter, open_text: Callable[[], TowerRunner], folder: Path) -> None:
        """`filtering` is over its items; `open_text` opens its text tower; `folder` is said where that fails."""
        self._filtering, self._open_text, self._folder = filtering, open_text, folder
        self._asked: Asked | None = None
        self.is_lost = False

    def refresh(self) -> int:
        """Bring its index up to date; returns how many items it can find."""
        count = 0 if self.is_lost else self._filtering.refresh()
        if not count:
            self._asked = None
        return count

    def follow(self) -> None:
        """See Filter."""
        self._filtering.follow()
        if not self._filtering.refresh():
            self._asked = None

    @property
    def damaged(self) -> int:
        """See Filter."""
        return self._filtering.damaged

    @property
    def is_open(self) -> bool:
        """Whether its text tower takes memory."""
        return self._asked is not None

    def held(self, admitted: Rows) -> int:
        """How many of these ids can be found."""
        return 0 if self.is_lost else self._filtering.held(admitted)

    def best(self, question: str, count: int, admitted: Rows | None = None) -> list[Candidate]:
        """At most `count` candidates, best first; none when nothing remains. Raises StoreError."""
        if not self.refresh():
            return []
        try:
            self._asked = asked = self._asked or Asked(self._open_text(), self._filtering.items)
            query = asked.embed(question)
            for depth in self._filtering.depths:
                query.at(depth)
        except Exception as error:  # noqa: BLE001 - its files may go at any time: whoever asks gets all the others
            self.is_lost, self._asked = True, None
            _log.error("the earlier bundle in %s answers no more: what it embedded is found again once it is"
                       " encoded anew: %s", self._folder, error)  # fmt: skip
            return []
        return [replace(one, is_earlier=True) for one in self._filtering.best(query, count, admitted)]


def join(present: Sequence[Candidate], earlier: Sequence[Candidate], count: int) -> list[Candidate]:
    """The `count` best of both, best first; of an item that was just switched the present bundle's."""
    known = {one.item for one in present}
    return sorted([*present, *(one for one in earlier if one.item not in known)], key=lambda one: one.order)[:count]
