"""The elevator batch: items ride up the tower together, and leave at their exit with an embedding.

Source: Reminisce, early exiting. So far every item leaves at the same exit (policy `fixed`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.bundle import Exit
from edge.items import Floats
from edge.runtime import Activation, TowerRunner


class Elevator:
    """Takes batches of pictures up to one exit of the image tower."""

    def __init__(self, tower: TowerRunner, place: Exit, batch: int) -> None:
        self.batch = batch
        self._tower, self._place = tower, place

    @property
    def depth(self) -> int:
        """Layers done where items leave."""
        return self._place.depth

    def ride(self, arrived: Sequence[Activation]) -> Floats:
        """N items before the first segment, one each -> (N, D) embeddings at the exit."""
        rides = [arrived[start : start + self.batch] for start in range(0, len(arrived), self.batch)]
        return np.concatenate([self._once(ride) for ride in rides])

    def _once(self, ride: Sequence[Activation]) -> Floats:
        batch = Activation(np.concatenate([item.tensor for item in ride]), 0, {})
        return self._tower.embed(self._tower.advance(batch, self._place.segment), self._place)
