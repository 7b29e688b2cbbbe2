"""A ViT of four layers and width 32 with random weights, items that show topics, and captions that name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from converter.heads.paired import Pair, fit_pair
from converter.heads.pooling import Pool
from converter.recipe import PairedHeads, Training
from converter.towers import vit
from converter.towers.checkpoint import Checkpoint, quiet
from converter.towers.tower import ItemTower
from references import pictures

SIDE, TOKENS, WIDTH, LAYERS = 32, 17, 32, 4
TOPICS, WORDS = 12, 24  # WORDS: the width of a caption's features
HEADS = PairedHeads(
    kind="paired",
    dimension=16,
    hidden=0,
    training=Training(epochs=30, batch=32, rate=3e-3, decay=0.01, dropout=0.1),
)


def write_vit(folder: Path, seed: int = 0) -> None:
    """A checkpoint with weights large enough to matter, and dropout that shows when a layer is left in training."""
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=SIDE,
        patch_size=8,
        initializer_range=0.2,
        hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.5,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)


def open_vit(folder: Path) -> ItemTower:
    """The tower of the checkpoint, fresh: healing one does not touch the next."""
    return vit.item_tower(Checkpoint(folder, "vit"))


@dataclass(frozen=True)
class Toy:
    """N items (N, 32, 32, 3) that mix TOPICS pictures, and captions (N, 2, WORDS) that tell how much of each."""

    items: Tensor
    captions: Tensor


def toy(count: int, seed: int = 0) -> Toy:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(count, TOPICS, generator=generator)
    items = torch.einsum("nt,thwc->nhwc", mix, pictures(TOPICS, SIDE)) / TOPICS**0.5
    words = torch.randn(TOPICS, WORDS, generator=torch.Generator().manual_seed(1))
    told = mix[:, None] + 0.1 * torch.randn(count, 2, TOPICS, generator=generator)
    return Toy(items, told @ words)


@torch.no_grad()
def features(tower: ItemTower, items: Tensor, depth: int) -> Tensor:
    """(N, F) what a head at `depth` reads."""
    x = tower.stem(items)
    for layer in tower.layers[:depth]:
        x = layer(x)
    return tower.pool(x)


def fitted(tower: ItemTower, data: Toy, depths: tuple[int, ...], seed: int = 0) -> dict[int, Pair]:
    """Heads at `depths` for what the tower makes of the items now."""

    def fit(depth: int) -> Pair:
        x = features(tower, data.items, depth)
        return fit_pair(x, data.captions, Pool(tower), HEADS, seed, lambda _done: None, told=f"depth {depth}")

    return {depth: fit(depth) for depth in depths}


@torch.no_grad()
def recall_at_1(pair: Pair, items: Tensor, captions: Tensor) -> float:
    """Share of items that their first caption finds. items: (N, F) features."""
    found = (pair.query(captions[:, 0]) @ pair.item.embed(items).T).argmax(1)
    return float((found == torch.arange(len(items))).float().mean())
