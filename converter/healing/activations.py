"""Activations of all items at one depth, kept while a window trains: what lies below it is never computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from converter.towers.tower import ItemTower
from edge.items import Floats

BATCH = 32
Ticker = Callable[[int], object]
Precision = torch.dtype


def fastest_precision(wanted: str) -> Precision:
    """bfloat16 where the processor multiplies it, twice as fast as float32 and as good for healing; "auto" decides."""
    if wanted == "auto":
        return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32  # noqa: SLF001
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


class Activations:
    """All items (N, *shape) at `depth`, in `precision`; `climb` takes them up through the tower's layers."""

    def __init__(self, tower: ItemTower, precision: Precision) -> None:
        self._tower, self.precision = tower, precision
        self.depth = 0
        self.tensor = torch.empty(0)

    @torch.no_grad()
    def start(self, items: Iterable[Floats], count: int, tick: Ticker) -> None:
        """Fill with `count` preprocessed items through the stem."""
        self.tensor = torch.empty(count, *self._tower.shape(0), dtype=self.precision)
        rest, done = iter(items), 0
        while batch := list(islice(rest, BATCH)):
            x = self._tower.stem(torch.from_numpy(np.stack(batch)))
            self.tensor[done : done + len(batch)] = x.to(self.precision)
            done += len(batch)
            tick(len(batch))

    @torch.no_grad()
    def climb(self, to: int, exits: Collection[int], tick: Ticker) -> dict[int, Tensor]:
        """Up to depth `to`, in place; features (N, F) float32 at those of `exits` on the way, by depth."""
        layers = self._tower.layers[self.depth : to]
        depths = range(self.depth + 1, to + 1)
        pooled: dict[int, list[Tensor]] = {depth: [] for depth in depths if depth in exits}
        ends: list[Tensor] = []
        for batch in torch.split(self.tensor, BATCH):
            x = batch
            with torch.autocast("cpu", torch.bfloat16, enabled=self.precision is torch.bfloat16):
                for depth, layer in zip(depths, layers, strict=True):
                    x = layer(x)
                    if depth in pooled:
                        pooled[depth].append(self._tower.pool(x.float()))
            ends.append(x.to(self.precision))
            tick(len(batch))
        self.tensor, self.depth = torch.cat(ends), to
        return {depth: torch.cat(parts) for depth, parts in pooled.items()}


@torch.no_grad()
def stream_features(
    tower: ItemTower,
    items: Iterable[Floats],
    exits: Collection[int],
    read: Callable[[Tensor], Tensor],
    tick: Ticker,
) -> dict[int, Tensor]:
    """What `read` makes of the activations at `exits`, by depth, in float32; no activation is kept."""
    rest = iter(items)
    found: dict[int, list[Tensor]] = {depth: [] for depth in exits}
    while batch := list(islice(rest, BATCH)):
        x = tower.stem(torch.from_numpy(np.stack(batch)))
        for depth, layer in enumerate(tower.layers[: max(exits)], 1):
            x = layer(x)
            if depth in found:
                found[depth].append(read(x))
        tick(len(batch))
    return {depth: torch.cat(parts) for depth, parts in found.items()}


def run_layers(layers: Sequence[nn.Module], x: Tensor, exits: Collection[int], first: int) -> dict[int, Tensor]:
    """Activations at `exits` on the way through `layers`, whose first one is number `first` (from 1)."""
    found = {}
    for depth, layer in enumerate(layers, first):
        x = layer(x)
        if depth in exits:
            found[depth] = x
    return found
