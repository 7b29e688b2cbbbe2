"""Heads that went to disk and back give the same embeddings, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter.console import Console
from converter.heads.fitting import Study, fit_heads
from converter.heads.forms import DIMENSION, unit
from converter.heads.saving import load_heads, save_heads
from converter.recipe import DistilledHeads, PairedHeads, Training, load_recipe
from converter.towers import efficientnet_lite
from edge.errors import UsageError
from tiny_vit import HEADS, LAYERS, features, open_vit, toy, write_vit

pytestmark = pytest.mark.convert

BRIEF = replace(HEADS, training=Training(epochs=1, batch=16, rate=1e-3, decay=0.01, dropout=0.1))


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("recipe", [BRIEF, replace(BRIEF, hidden=24)], ids=["one map", "two maps"])
def test_paired_heads_come_back_as_they_were(tmp_path: Path, console: Console, recipe: PairedHeads) -> None:
    write_vit(tmp_path / "vit")
    tower, data = open_vit(tmp_path / "vit"), toy(32)
    study = Study({depth: features(tower, data.items, depth) for depth in (2, LAYERS)}, 32, data.captions)
    heads = fit_heads(tower, study, recipe, 0, console)
    save_heads(tmp_path / "heads.safetensors", heads)
    loaded = load_heads(tmp_path / "heads.safetensors", (2, LAYERS), recipe, tower)
    assert list(loaded) == [2, LAYERS]
    for depth, pair in loaded.items():
        assert torch.equal(pair.item.embed(study.features[depth]), heads[depth].item.embed(study.features[depth]))
        assert torch.equal(pair.query(data.captions[:, 0]), heads[depth].query(data.captions[:, 0]))


def test_distilled_heads_come_back_as_they_were(tmp_path: Path, console: Console, small_recipe: Path) -> None:
    recipe, tower = load_recipe(small_recipe).heads, efficientnet_lite.load()
    assert isinstance(recipe, DistilledHeads)
    inputs = {11: noise(24, 56, seed=1), 16: noise(24, tower.classifier.in_features, seed=2)}
    classes = unit(noise(tower.classifier.out_features, 5, DIMENSION, seed=3))
    study = Study(inputs, 12, unit(noise(12, 2, DIMENSION, seed=4)), classes)
    heads = fit_heads(tower, study, recipe, 0, console)
    save_heads(tmp_path / "heads.safetensors", heads)
    loaded = load_heads(tmp_path / "heads.safetensors", (11, 16), recipe, tower)
    with torch.no_grad():
        for depth, pair in loaded.items():
            assert torch.equal(pair.item.embed(inputs[depth]), heads[depth].item.embed(inputs[depth]))
            assert torch.equal(pair.query(classes[:, 0]), heads[depth].query(classes[:, 0]))
    assert not any(parameter.requires_grad for pair in loaded.values() for parameter in pair.item.parameters())


def test_some_items_of_a_study_keep_all_of_their_views() -> None:
    views = torch.arange(6.0)[:, None]  # items 0 1 2, then their second views 3 4 5
    some = Study({1: views}, 3, torch.arange(3.0)[:, None, None]).of(torch.tensor([2, 0]))
    assert some.features[1].flatten().tolist() == [2.0, 0.0, 5.0, 3.0]
    assert some.captions is not None
    assert some.captions.flatten().tolist() == [2.0, 0.0]
    assert some.items == 2


def test_paired_heads_without_captions_are_refused(tmp_path: Path, console: Console) -> None:
    write_vit(tmp_path / "vit")
    study = Study({2: noise(8, 64, seed=1)}, 8, None)
    with pytest.raises(UsageError, match="paired, which learns from captions: the data has none"):
        fit_heads(open_vit(tmp_path / "vit"), study, BRIEF, 0, console)
