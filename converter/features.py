"""What the exported trunks make of the training data, by the device's own code: heads learn what they will be fed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from converter.heads import statistics
from edge.items import Floats
from edge.runtime import Activation, TowerRunner

T = TypeVar("T")
BATCH = 16
Ticker = Callable[[int], object]


def image_features(
    tower: TowerRunner, exits: Sequence[int], pictures: Iterable[Floats], tick: Ticker
) -> tuple[dict[int, Tensor], Tensor]:
    """Statistics (V, 7 C) at each early exit, by depth, and pooled features (V, 1280) at the end, of V pictures."""
    early: dict[int, list[Tensor]] = {depth: [] for depth in exits}
    pooled: list[Tensor] = []
    for batch in _batches(pictures):
        activation = Activation(np.stack(batch), 0, {})
        for number, segment in enumerate(tower.spec.segments):
            activation = tower.advance(activation, number)
            if segment.depth in early:
                early[segment.depth].append(statistics(torch.from_numpy(activation.tensor)))
        pooled.append(torch.from_numpy(activation.tensor).mean((1, 2)))
        tick(len(batch))
    return {depth: torch.cat(parts) for depth, parts in early.items()}, torch.cat(pooled)


def text_features(tower: TowerRunner, sentences: Sequence[str], tick: Ticker) -> Tensor:
    """(S, 384) text tower outputs, before its head."""
    parts = []
    for batch in _batches(sentences):
        activation = tower.advance(tower.start_texts(batch), 0)
        parts.append(torch.from_numpy(activation.tensor))
        tick(len(batch))
    return torch.cat(parts)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
