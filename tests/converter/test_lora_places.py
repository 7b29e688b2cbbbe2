"""Every tower's layers take a LoRA where the tower says, and its segments are made of what healing left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter.healing.lora import layers_of, merge, put_on
from converter.recipe import ItemRecipe
from converter.towers.opening import open_item_tower
from converter.towers.random_checkpoint import write_random
from converter.towers.tower import ItemTower
from references import cosines, pictures

pytestmark = pytest.mark.convert
ARCHITECTURES = {"clip": "clip-vit-b32", "siglip": "siglip-base-patch16-224"}


@pytest.fixture(params=["clip", "siglip", "efficientnet-lite0"])
def tower(request: pytest.FixtureRequest, tmp_path: Path) -> ItemTower:
    kind: Any = request.param
    if kind in ARCHITECTURES:
        write_random(tmp_path / "checkpoint", ARCHITECTURES[kind], layers=2)
    return open_item_tower(ItemRecipe(kind=kind, exits=(1, 2)), tmp_path / "checkpoint")


@torch.no_grad()
def test_merged_lora_is_in_the_segments_and_in_no_layer_of_its_own(tower: ItemTower) -> None:
    x = pictures(2, 224)
    before = tower.segment(0, 2)(x)
    first = tower.segment(0, 1)(x)
    kinds = [type(part) for part in tower.layers[1].modules()]
    adapted = put_on(tower, 2, 2, rank=4, seed=0)
    (layer,) = layers_of(adapted)
    torch.testing.assert_close(layer(first), before, rtol=1e-4, atol=1e-3)  # B is 0 at the start
    trained = [one for name, one in adapted.named_parameters() if "lora_B" in name]
    assert len(trained) == len(tower.adapted(1))
    generator = torch.Generator().manual_seed(0)
    for one in trained:
        one.copy_(0.2 * torch.randn(one.shape, generator=generator))
    wanted = layer(first)
    merge(adapted, tower, 2)
    assert [type(part) for part in tower.layers[1].modules()] == kinds
    assert cosines(tower.segment(0, 2)(x), wanted).min() >= 0.9999
    assert cosines(tower.segment(0, 2)(x), before).max() < 0.9999
    torch.testing.assert_close(tower.segment(0, 1)(x), first, rtol=0, atol=0)
