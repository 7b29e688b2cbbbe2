"""SigLIP as towers, at two layers of true width: every exit and every sentence against transformers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor
from transformers import AutoTokenizer, SiglipModel

from converter.recipe import ItemRecipe, QueryRecipe
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.random_checkpoint import write_random
from converter.towers.tower import ItemTower, QueryTower
from edge.errors import UsageError
from references import SENTENCES, activations, cosines, cut_off, device_tokens, embed, pictures, published

pytestmark = pytest.mark.convert


@dataclass(frozen=True)
class Case:
    folder: Path
    model: Any
    item: ItemTower
    query: QueryTower


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("checkpoint") / "siglip"
    write_random(folder, "siglip-base-patch16-224", layers=2)
    return Case(
        folder,
        published(SiglipModel, folder),
        open_item_tower(ItemRecipe(kind="siglip", exits=(1, 2)), folder),
        open_query_tower(QueryRecipe(kind="siglip"), folder),
    )


def published_image(model: Any, x: Tensor, depth: int) -> Tensor:
    encoder = model.vision_model.encoder
    embedding = cut_off(encoder, depth, lambda: model.get_image_features(x.permute(0, 3, 1, 2)).pooler_output)
    return torch.nn.functional.normalize(embedding)


def test_every_exit_equals_transformers_cut_off_at_that_depth(opened: Case) -> None:
    x = pictures(3, 224)
    assert opened.item.published is not None
    found = list(activations(opened.item, x))
    wanted = [published_image(opened.model, x, depth) for depth in (1, 2)]
    assert len(found) == len(opened.item.layers) == 2
    for activation, reference in zip(found, wanted, strict=True):
        assert activation.shape[1:] == opened.item.shape(1) == (196, 768)
        with torch.no_grad():
            assert cosines(opened.item.published(activation), reference).min() >= 0.9999
    assert cosines(*wanted).max() < 0.999


def test_layers_that_healing_trains_equal_the_form_that_is_exported(opened: Case) -> None:
    x = pictures(2, 224, seed=1)
    with torch.no_grad():
        trained = opened.item.stem(x)
        for layer in opened.item.layers:
            trained = layer(trained)
        exported = opened.item.segment(0, 2)(x)
    assert cosines(trained, exported).min() >= 0.9999
    assert opened.item.pool(trained).shape == (2, 768)


@torch.no_grad()
def test_short_cut_and_padded_sentences_equal_transformers(opened: Case) -> None:
    tokenizer = AutoTokenizer.from_pretrained(opened.folder)
    tokens = tokenizer(list(SENTENCES), padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    numbers, mask = device_tokens(opened.query, SENTENCES)
    assert numbers.tolist() == tokens.tolist()
    assert mask[-1].all()  # was cut
    assert not mask[0, 16:].any()  # was padded
    wanted = torch.nn.functional.normalize(opened.model.get_text_features(tokens).pooler_output)
    assert not opened.query.masked
    assert cosines(embed(opened.query, SENTENCES), wanted).min() >= 0.9999


def test_padding_is_read_like_words_so_another_length_is_refused(opened: Case) -> None:
    said = r"^query\.tokens is 32: .*siglip reads the padding too, so it must be 0 or 64$"
    with pytest.raises(UsageError, match=said):
        open_query_tower(QueryRecipe(kind="siglip", tokens=32), opened.folder)
    assert open_query_tower(QueryRecipe(kind="siglip", tokens=64), opened.folder).tokens == 64


def test_folder_without_a_tokenizer_file_still_gives_the_item_tower(opened: Case, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(opened.folder, folder, ignore=shutil.ignore_patterns("tokenizer*"))
    assert len(open_item_tower(ItemRecipe(kind="siglip", exits=(1,)), folder).layers) == 2
    with pytest.raises(UsageError) as caught:
        open_query_tower(QueryRecipe(kind="siglip"), folder)
    assert str(caught.value) == (
        f"{folder} has no tokenizer.json: put the one of the published checkpoint beside config.json"
    )


def test_thinned_activation_keeps_the_picked_patches_alone(opened: Case) -> None:
    x = opened.item.stem(pictures(1, 224))
    picks = torch.zeros(1, 195)  # healing asks for one fewer than there are: others have a class token
    picks[0, [0, 7]] = 1
    thinned = opened.item.thin(x, 2, picks)
    assert {tuple(token[:3].tolist()) for token in thinned[0]} == {tuple(x[0, n, :3].tolist()) for n in (0, 7)}


def test_layers_work_on_a_thinned_activation(opened: Case) -> None:
    with torch.no_grad():
        thinned = opened.item.thin(opened.item.stem(pictures(2, 224)), 20, torch.rand(2, 195))
        assert opened.item.layers[0](thinned).shape == (2, 20, 768)
