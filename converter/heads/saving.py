"""Heads on disk between stages: their numbers alone; the recipe says what they are the numbers of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from converter.heads.fitting import ExitHeads
from converter.heads.forms import ExitHead, FullHead, QueryHead
from converter.heads.paired import GranularityHead, ItemHead
from converter.heads.pooling import Pool
from converter.recipe import DistilledHeads, HeadsRecipe
from converter.towers.tower import ItemTower

Numbers = Mapping[str, Tensor]


def save_heads(path: Path, heads: Mapping[int, ExitHeads]) -> None:
    """Write the numbers of all heads as safetensors."""
    numbers = {}
    for depth, pair in heads.items():
        for side, module in (("item", pair.item), ("query", pair.query)):
            for name, tensor in module.state_dict().items():
                numbers[f"{depth}.{side}.{name}"] = tensor.detach().clone().contiguous()
    save_file(numbers, path)


def load_heads(path: Path, depths: Iterable[int], recipe: HeadsRecipe, tower: ItemTower) -> dict[int, ExitHeads]:
    """The heads of `depths`, the end last."""
    numbers = load_file(path)
    depths = list(depths)
    if isinstance(recipe, DistilledHeads):
        return _distilled(numbers, depths, recipe, tower)
    return {
        depth: ExitHeads(_item(_of(numbers, depth, "item"), tower), _query(_of(numbers, depth, "query")))
        for depth in depths
    }


def _of(numbers: Numbers, depth: int, side: str) -> dict[str, Tensor]:
    start = f"{depth}.{side}."
    return {name.removeprefix(start): tensor for name, tensor in numbers.items() if name.startswith(start)}


def _loaded(module: nn.Module, numbers: Numbers) -> Any:
    module.load_state_dict(numbers)
    return module.requires_grad_(requires_grad=False).eval()


def _item(numbers: dict[str, Tensor], tower: ItemTower) -> Any:
    hidden = len(numbers["hidden.weight"]) if "hidden.weight" in numbers else 0
    head = ItemHead(Pool(tower), numbers["mean"], numbers["scale"], len(numbers["linear.weight"]), hidden)
    return _loaded(head, numbers)


def _query(numbers: dict[str, Tensor]) -> Any:
    head = GranularityHead(numbers["mean"], numbers["scale"], len(numbers["linear.weight"]))
    return _loaded(head, numbers)


def _distilled(numbers: Numbers, depths: list[int], recipe: DistilledHeads, tower: Any) -> dict[int, ExitHeads]:
    *early, last = depths
    query_numbers = _of(numbers, last, "query")
    query = _loaded(QueryHead(query_numbers["centre"]), query_numbers)
    heads = {}
    for depth in early:
        own = _of(numbers, depth, "item")
        heads[depth] = ExitHeads(_loaded(ExitHead(own["mean"], own["scale"]), own), query)
    own = _of(numbers, last, "item")
    full = FullHead(tower.classifier, torch.zeros(own["class_texts.weight"].T.shape), 1.0, recipe.full.residual)
    return {**heads, last: ExitHeads(_loaded(full, own), query)}
