"""Two layers of each family as files: they convert, run at any batch, and compute what torch computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.export import Format, export
from converter.recipe import ItemRecipe, QueryRecipe
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.random_checkpoint import write_random
from converter.towers.tower import ItemTower, QueryTower
from edge.runtime import open_interpreter
from references import SENTENCES, cosines, device_tokens, pictures

pytestmark = [pytest.mark.convert, pytest.mark.slow]
ARCHITECTURES = {"clip": "clip-vit-b32", "siglip": "siglip-base-patch16-224"}
FORMATS: tuple[Format, ...] = ("float32", "dynamic-int8")
# Attention of random weights is sharper than that of trained ones: int8 costs more here than in a real checkpoint.
LEAST = {"float32": 0.9999, "dynamic-int8": 0.98}
Case = tuple[ItemTower, QueryTower]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def towers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    kind: Any = request.param
    folder = tmp_path_factory.mktemp("checkpoint")
    write_random(folder, ARCHITECTURES[kind], layers=2)
    return (
        open_item_tower(ItemRecipe(kind=kind, exits=(1, 2)), folder),
        open_query_tower(QueryRecipe(kind=kind), folder),
    )


def check(module: nn.Module, inputs: dict[str, Tensor], folder: Path) -> None:
    """Export with a batch of two, run with one and all, in every format."""
    with torch.no_grad():
        wanted = module(*inputs.values())
    targets = {kind: folder / f"{kind}.tflite" for kind in FORMATS}
    export(module, {name: x[:2] for name, x in inputs.items()}, targets)
    for kind, path in targets.items():
        interpreter = open_interpreter(path, "ai-edge-litert", 1)
        for batch in (1, len(wanted)):
            made = interpreter.run({name: np.ascontiguousarray(x[:batch].numpy()) for name, x in inputs.items()})
            assert cosines(torch.from_numpy(made), wanted[:batch]).min() >= LEAST[kind], (kind, batch)
    # Every linear map is a FULLY_CONNECTED, else it would have stayed float32. The patches are a convolution.
    assert targets["dynamic-int8"].stat().st_size < 0.45 * targets["float32"].stat().st_size


def test_first_segment_with_its_stem(towers: Case, tmp_path: Path) -> None:
    check(towers[0].segment(0, 2), {"x": pictures(3, 224)}, tmp_path)


def test_published_head(towers: Case, tmp_path: Path) -> None:
    item, _ = towers
    assert item.published is not None
    with torch.no_grad():
        check(item.published, {"x": item.segment(0, 2)(pictures(3, 224))}, tmp_path)


def test_text_segment(towers: Case, tmp_path: Path) -> None:
    _, query = towers
    numbers, mask = device_tokens(query, SENTENCES)
    inputs = {"x": torch.from_numpy(query.table[numbers] + query.positions)}
    if query.masked:
        inputs["mask"] = torch.from_numpy(mask)
    check(query.segment, inputs, tmp_path)


def test_published_text_head(towers: Case, tmp_path: Path) -> None:
    _, query = towers
    assert query.published is not None
    x = torch.randn(3, query.features, generator=torch.Generator().manual_seed(0))
    check(query.published, {"x": x}, tmp_path)
