"""LoRA on one window of layers, by PEFT: put on, trained, merged away."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from converter.towers.tower import ItemTower


def put_on(tower: ItemTower, first: int, last: int, rank: int, seed: int) -> PeftModel:
    """The layers `first` to `last` (from 1) with a LoRA of `rank` on each linear map that the tower names; B is 0.

    Nothing but the LoRA is trainable. alpha = rank, so that the rates of one rank suit another.
    """
    window = _Window(tower.layers[first - 1 : last])
    names = [f"layers.{n}.{name}" for n in range(last - first + 1) for name in tower.adapted(first - 1 + n)]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        # A pattern is matched with whole names; names in a list would also stand for deeper ones that end alike.
        pattern = "|".join(name.replace(".", r"\.") for name in names)
        return get_peft_model(window, LoraConfig(r=rank, lora_alpha=rank, target_modules=rf"^({pattern})$"))


def layers_of(adapted: PeftModel) -> Sequence[nn.Module]:
    """The window's layers, LoRA inside."""
    window: Any = adapted.base_model.model
    layers: Sequence[nn.Module] = window.layers
    return layers


def merge(adapted: PeftModel, tower: ItemTower, first: int) -> None:
    """Add each LoRA to the weights below it and take it away; refuses NaN (ValueError).

    The tower's layers are healed then, and cost at inference what they cost before.
    """
    _give_back(adapted.merge_and_unload(safe_merge=True), tower, first)


def take_off(adapted: PeftModel, tower: ItemTower, first: int) -> None:
    """Leave the layers as they were before `put_on`."""
    _give_back(adapted.unload(), tower, first)


def _give_back(window: Any, tower: ItemTower, first: int) -> None:
    for number, layer in enumerate(window.layers, first - 1):
        tower.layers[number] = layer  # type: ignore[index]  # a ModuleList
        layer.requires_grad_(requires_grad=False)


class _Window(nn.Module):
    """PEFT wants a module that holds what it changes."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
