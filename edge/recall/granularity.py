"""A question as each exit sees it: one text pass, and one small head for each exit that is asked about.

Source: Reminisce, query granularities. What leaves early knows less than what rides to the end; a question is compared
with it through the head that learnt from that exit's embeddings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from edge.bundle import Model, Tower
from edge.items import Floats
from edge.runtime import TowerRunner


class Query(Protocol):
    """What is asked, as each exit sees it. is_calibrated: whether cosines with it say how relevant an item is."""

    @property
    def is_calibrated(self) -> bool: ...

    def at(self, depth: int) -> Floats:
        """(D,), for items stored at the exit at `depth`. Raises ValueError where there is none."""


class Granularities:
    """One question's embeddings, made when they are first asked for and kept. One thread at a time."""

    is_calibrated = True  # where the bundle is

    def __init__(self, text: TowerRunner, items: Tower, question: str) -> None:
        """Passes `question` through the text tower; `items` is the tower whose exits it will be compared at."""
        self._text, self._items = text, items
        self._own = text.spec.exits[-1]
        self._features = text.advance(text.start_texts([question]), self._own.segment)
        self._made: dict[Model, Floats] = {}

    def at(self, depth: int) -> Floats:
        """(D,) of unit L2 norm, for items stored at the exit at `depth`. Raises ValueError where there is none."""
        return self._through(self._items.exit_at(depth).query or self._own.head)

    def as_note(self) -> Floats:
        """(D,) of unit L2 norm, for notes, which went through the same tower and its own head."""
        return self._through(self._own.head)

    def _through(self, head: Model) -> Floats:
        if head not in self._made:
            (embedding,) = self._text.embed(self._features, replace(self._own, head=head))
            self._made[head] = np.ascontiguousarray(embedding)
        return self._made[head]


class AsNote:
    """A question as notes are asked: at the one exit that they have."""

    is_calibrated = True  # where the bundle is

    def __init__(self, question: Granularities) -> None:
        self._question = question

    def at(self, depth: int) -> Floats:  # noqa: ARG002 - see Query
        """(D,) of unit L2 norm."""
        return self._question.as_note()
