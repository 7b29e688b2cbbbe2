"""The way to the last exit, for items that stand at different segments: one elevator batch that grows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from edge.items import Floats
from edge.runtime import Activation, TowerRunner


def ride(tower: TowerRunner, starts: Sequence[Activation], is_over: Callable[[], bool]) -> Floats | None:
    """Items from shallow to deep, one each -> (N, D) at the last exit; who is deeper joins where it comes by.

    None when `is_over`, which is asked before each segment.
    """
    last = tower.spec.exits[-1]
    joining = {segment: list(group) for segment, group in itertools.groupby(starts, key=lambda one: one.segment)}
    batch: Activation | None = None
    for segment in range(starts[0].segment, last.segment + 1):
        if is_over():
            return None
        group = joining.get(segment, [])
        if batch is None:
            batch = _together(group, segment)
        elif group:
            batch = _together([batch, *group], segment)
        batch = tower.advance(batch, segment)
    return tower.embed(batch, last) if batch else None


def _together(parts: Sequence[Activation], segment: int) -> Activation:
    if len(parts) == 1:
        return parts[0]
    return Activation(np.concatenate([one.tensor for one in parts]), segment, {})
