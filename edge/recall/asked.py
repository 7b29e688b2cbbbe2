"""The questions asked last, as the exits see them: one that comes again needs no text pass."""

from __future__ import annotations

from collections import OrderedDict

from edge.bundle import Tower
from edge.recall.granularity import Granularities
from edge.runtime import TowerRunner

_KEPT = 16  # each holds the text tower's activation, some 160 kB of a CLIP; only in memory: what is asked is private


class Asked:
    """For one bundle's text tower, and the tower whose exits the questions are compared at. One thread at a time."""

    def __init__(self, text: TowerRunner, items: Tower) -> None:
        self._text, self._items = text, items
        self._kept: OrderedDict[str, Granularities] = OrderedDict()

    def embed(self, question: str) -> Granularities:
        """The same text is passed through the tower once, while it is among the last that were asked."""
        found = self._kept.pop(question, None)
        self._kept[question] = found or Granularities(self._text, self._items, question)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[question]
