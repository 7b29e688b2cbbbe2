"""A real pretrained ViT as a tower: every exit against transformers cut off at that depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn
from transformers import ViTForImageClassification

from conftest import DATA
from converter.recipe import ItemRecipe
from converter.towers.opening import open_item_tower
from converter.towers.tower import ItemTower
from edge.runtime import image_inputs
from references import activations, cosines, cut_off, published

pytestmark = [pytest.mark.convert, pytest.mark.data]


@pytest.fixture(scope="module")
def folder() -> Path:
    folder = DATA / "vit-tiny-patch16-224"
    if not folder.is_dir():
        pytest.skip(f"DATA SKIPPED: no ViT-Tiny at {folder}; set DATA to the folder that holds vit-tiny-patch16-224/")
    return folder


@pytest.fixture(scope="module")
def tower(folder: Path) -> ItemTower:
    return open_item_tower(ItemRecipe(kind="vit", exits=(3, 12)), folder)


@pytest.fixture(scope="module")
def photos(tower: ItemTower, pictures: list[Path]) -> Tensor:
    return torch.from_numpy(image_inputs([path.read_bytes() for path in pictures[:4]], tower.preprocess)["x"])


def published_activation(model: Any, x: Tensor, depth: int) -> Tensor:
    """What transformers holds after `depth` layers, before its last norm."""
    return cut_off(model.vit, depth, lambda: model.vit(x.permute(0, 3, 1, 2)).last_hidden_state)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    model = published(ViTForImageClassification, folder)
    model.vit.layernorm = nn.Identity()
    return model


def test_every_exit_equals_transformers_cut_off_at_that_depth(tower: ItemTower, model: Any, photos: Tensor) -> None:
    depth = 0
    for depth, activation in enumerate(activations(tower, photos), 1):
        wanted = published_activation(model, photos, depth)
        assert activation.shape[1:] == tower.shape(depth) == (197, 192)
        tokens = cosines(activation.flatten(0, 1), wanted.flatten(0, 1))
        assert tokens.min() >= 0.9999, f"depth {depth}"
        assert cosines(tower.pool(activation), tower.pool(wanted)).min() >= 0.9999, f"depth {depth}"
    assert depth == len(tower.layers) == 12


def test_layers_that_healing_trains_equal_the_form_that_is_exported(tower: ItemTower, photos: Tensor) -> None:
    with torch.no_grad():
        x = tower.stem(photos)
        for layer in tower.layers:
            x = layer(x)
        exported = tower.segment(0, 12)(photos)
    assert cosines(x, exported).min() >= 0.9999


def test_last_layer_and_the_published_classifier_name_what_is_on_a_picture(
    tower: ItemTower, folder: Path, pictures: list[Path]
) -> None:
    model = published(ViTForImageClassification, folder)
    named = {"golden-retriever.jpg": 207, "sunflower.jpg": 985}  # 985 is daisy: there is no class for sunflowers
    contents = [path.read_bytes() for path in pictures if path.name in named]
    with torch.no_grad():
        x = tower.segment(0, 12)(torch.from_numpy(image_inputs(contents, tower.preprocess)["x"]))
        classes = model.classifier(model.vit.layernorm(x)[:, 0]).argmax(1)
    assert classes.tolist() == list(named.values())


def test_pictures_are_read_as_the_checkpoint_says(tower: ItemTower) -> None:
    spec = tower.preprocess
    assert (spec.size, spec.fit, spec.filter, spec.mean, spec.scale) == (224, "squash", "bicubic", 127.5, 127.5)
    assert tower.published is None
    assert tower.origin.licence == "unknown"
