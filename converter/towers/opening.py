"""Opens the two towers that a recipe names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from converter.recipe import ItemRecipe, QueryRecipe
from converter.towers import clip, efficientnet_lite, minilm, siglip, vit
from converter.towers.checkpoint import Checkpoint
from converter.towers.random_checkpoint import write_random
from converter.towers.tower import ItemTower, QueryTower
from edge.errors import UsageError

T = TypeVar("T")
RANDOM = "random"
_RANDOM = {clip.FAMILY: "clip-vit-b32", siglip.FAMILY: "siglip-base-patch16-224"}


def open_item_tower(recipe: ItemRecipe, checkpoint: Path | str | None) -> ItemTower:
    """The tower of what is remembered; `checkpoint` goes before the recipe's own.

    "random" as a checkpoint makes the published architecture with random weights, to see what a bundle of it costs.
    Raises UsageError, also where an exit or a cut lies deeper than the tower.
    """
    where = checkpoint or recipe.checkpoint
    tower: ItemTower
    match recipe.kind:
        case "efficientnet-lite0":
            tower = efficientnet_lite.load()
        case "vit":
            tower = _opened(vit.item_tower, where, vit.FAMILY)
        case "clip":
            tower = _opened(clip.item_tower, where, clip.FAMILY)
        case "siglip":
            tower = _opened(siglip.item_tower, where, siglip.FAMILY)
    _check_depths(recipe, len(tower.layers))
    return tower


def open_query_tower(recipe: QueryRecipe, checkpoint: Path | str | None) -> QueryTower:
    """The tower of questions; see `open_item_tower`."""
    where = checkpoint or recipe.checkpoint
    match recipe.kind:
        case "minilm":
            return minilm.load(recipe.tokens)
        case "clip":
            return _opened(lambda opened: clip.query_tower(opened, recipe.tokens), where, clip.FAMILY)
        case "siglip":
            return _opened(lambda opened: siglip.query_tower(opened, recipe.tokens), where, siglip.FAMILY)


def _opened(read: Callable[[Checkpoint], T], where: Path | str, family: str) -> T:
    if not str(where):
        raise UsageError(f"no checkpoint of a {family} model is named: use --checkpoint DIR, or set it in the recipe")
    if where != RANDOM:
        return read(Checkpoint(where, family))
    if family not in _RANDOM:
        raise UsageError(f"checkpoint is {RANDOM!r}: a {family} tower has no random weights, name a folder")
    with tempfile.TemporaryDirectory(prefix="reminisce-random-") as folder:
        named = Path(folder) / f"{_RANDOM[family]}-random"
        write_random(named, _RANDOM[family])
        return read(Checkpoint(named, family))


def _check_depths(recipe: ItemRecipe, layers: int) -> None:
    for name, depths in (("exits", recipe.exits), ("cuts", recipe.cuts)):
        if deeper := [depth for depth in depths if depth > layers]:
            raise UsageError(f"item.{name} names depth {deeper[0]}: the tower has {layers} layers")
