"""A tower's pooling as a module, so that a head's file starts from the activation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from converter.towers.tower import ItemTower


class Pool(nn.Module):
    """(N, *shape) -> (N, F). Copies of a head share it: the tower behind it is not copied along."""

    def __init__(self, tower: ItemTower) -> None:
        super().__init__()
        self._pool = tower.pool

    def forward(self, x: Tensor) -> Tensor:
        return self._pool(x)

    def __deepcopy__(self, _memo: Any) -> Pool:
        return self
