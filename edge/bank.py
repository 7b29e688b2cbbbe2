"""The bank beside what is stored: its stock queries as each exit sees them, and what items' similarities to it say.

Shapes: N items, D the shared space, R bank rows. All tensors float32.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.bundle import Bank, Exit, Model
from edge.items import Floats
from edge.relevance import Profile, offset, read_bank, scale_of
from edge.runtime import Activation, TowerRunner


def offsets_of(numbers: Floats, place: Exit) -> Floats:
    """(N,) offsets of items at an exit of which the numbers of their profile there are known; 0 as in `Banks`."""
    if place.calibration is None:
        return np.zeros(len(numbers), dtype=np.float32)
    return offset(numbers, place.calibration)


class Banks:
    """The bank through the query head of each exit: made when it is first asked for, and kept. Any thread."""

    def __init__(self, folder: Path, bank: Bank | None, text: TowerRunner) -> None:
        """`folder` is the bundle's; `text` runs the heads. Without a bank nothing can be calibrated or decided."""
        self._folder, self._bank, self._text = folder, bank, text
        self._own = text.spec.exits[-1]
        self._made: dict[Model, Floats] = {}
        self._making = threading.Lock()

    def profile(self, embeddings: Floats, place: Exit) -> Profile:
        """(N, D) items at an exit beside the bank. Raises ValueError for a bundle without one."""
        return Profile.of(embeddings, self._at(place), scale_of(place))

    def offsets(self, embeddings: Floats, place: Exit) -> Floats:
        """(N,) offsets of the calibrated scores of (N, D) items at an exit; 0 where it is not calibrated."""
        if place.calibration is None or not len(embeddings):
            return np.zeros(len(embeddings), dtype=np.float32)
        return offsets_of(self.profile(embeddings, place).numbers, place)

    def _at(self, place: Exit) -> Floats:
        """(R, D), rows of unit L2 norm."""
        head = place.query or self._own.head
        with self._making:
            if head not in self._made:
                if self._bank is None:
                    raise ValueError("the bundle has no bank")
                features = Activation(read_bank(self._folder, self._bank), self._own.segment + 1, {})
                self._made[head] = np.ascontiguousarray(self._text.embed(features, replace(self._own, head=head)))
            return self._made[head]
