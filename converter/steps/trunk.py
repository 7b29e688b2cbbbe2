"""The item tower as `heal` left it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from converter.heads.fitting import ExitHeads, published_heads
from converter.heads.saving import load_heads
from converter.recipe import PublishedHeads
from converter.stages import Context
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.tower import ItemTower


def healed_tower(context: Context) -> ItemTower:
    """The tower with healed weights, or as published where nothing was healed."""
    tower = open_item_tower(context.recipe.item, context.order.checkpoint)
    weights = context.artefacts["heal"] / "trunk.safetensors"
    layers = nn.ModuleList(tower.layers)
    if weights.is_file():
        layers.load_state_dict(load_file(weights))
    layers.requires_grad_(requires_grad=False)
    return tower


def learnt_heads(
    context: Context, tower: ItemTower, exits: tuple[int, ...], name: str = "heads"
) -> Mapping[int, ExitHeads]:
    """The heads that ship, or those of the trunk as it was ("before")."""
    if isinstance(context.recipe.heads, PublishedHeads):
        return published_heads(tower, open_query_tower(context.recipe.query, context.order.query_checkpoint), exits)
    path: Path = context.artefacts["heal"] / f"{name}.safetensors"
    return load_heads(path, exits, context.recipe.heads, tower)
