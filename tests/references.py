"""What towers are compared with: transformers itself, cut off at a depth; and sentences as the device reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from converter.towers.tower import ItemTower, QueryTower

SHORT = "a dog"
SENTENCES = (
    SHORT,
    "Two men are playing football on a green pitch!",
    "",
    "naïve café, 42 €",  # bytes that no merge covers
    "the very old coins that were found under the floor of a house by the sea in a small town " * 9,  # is cut
)


def published(kind: Any, folder: Path) -> Any:
    """The model of class `kind` as transformers opens it."""
    return kind.from_pretrained(folder).eval()


def pictures(count: int, side: int, seed: int = 0) -> Tensor:
    """(count, side, side, 3) preprocessed pictures: smooth blots, no two alike, as far from zero as real ones."""
    coarse = torch.randn(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return smooth.permute(0, 2, 3, 1).contiguous()


def cosines(one: Tensor, other: Tensor) -> Tensor:
    assert one.shape == other.shape
    return nn.functional.cosine_similarity(one.flatten(1).double(), other.flatten(1).double())


@torch.no_grad()
def activations(tower: ItemTower, x: Tensor) -> Iterator[Tensor]:
    """What the tower's form for the device holds after each layer, each layer a segment of its own."""
    for depth in range(len(tower.layers)):
        x = tower.segment(depth, depth + 1)(x)
        yield x


@torch.no_grad()
def cut_off(owner: Any, depth: int, run: Any) -> Tensor:
    """`run()` while `owner.layers`, of a published model, ends at `depth`."""
    whole = owner.layers
    owner.layers = whole[:depth]
    try:
        result: Tensor = run()
    finally:
        owner.layers = whole
    return result


def device_tokens(tower: QueryTower, sentences: Sequence[str]) -> tuple[Any, Any]:
    """Numbers and mask (N, T) as edge.runtime.TextInput makes them."""
    tokenizer = Tokenizer.from_file(str(tower.tokenizer))
    tokenizer.enable_truncation(tower.tokens)
    tokenizer.enable_padding(**{**(tokenizer.padding or {}), "length": tower.tokens})
    encodings = tokenizer.encode_batch(list(sentences))
    return np.array([one.ids for one in encodings]), np.array([one.attention_mask for one in encodings], np.float32)


@torch.no_grad()
def embed(tower: QueryTower, sentences: Sequence[str]) -> Tensor:
    """(N, D) by the tower's form for the device and its published head."""
    numbers, mask = device_tokens(tower, sentences)
    inputs = [torch.from_numpy(tower.table[numbers] + tower.positions)]
    if tower.masked:
        inputs.append(torch.from_numpy(mask))
    assert tower.published is not None
    result: Tensor = tower.published(tower.segment(*inputs))
    return result
