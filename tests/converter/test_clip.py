"""CLIP as towers: every exit and sentence against transformers, at true size for B/32, at true width for others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor
from transformers import AutoTokenizer, CLIPModel

from converter.recipe import ItemRecipe, QueryRecipe
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.random_checkpoint import write_random
from converter.towers.tower import ItemTower, QueryTower
from edge.errors import UsageError
from references import SENTENCES, SHORT, activations, cosines, cut_off, device_tokens, embed, pictures, published

pytestmark = pytest.mark.convert
TRUE_SIZE = pytest.param(("clip-vit-b32", None), id="clip-vit-b32", marks=pytest.mark.slow)
TWO_LAYERS = [pytest.param((name, 2), id=f"{name}-2-layers") for name in ("clip-vit-b16", "clip-vit-l14")]


@dataclass(frozen=True)
class Case:
    """A checkpoint folder, the published model that it holds, and our towers of it."""

    folder: Path
    model: Any
    item: ItemTower
    query: QueryTower


def case(folder: Path) -> Case:
    return Case(
        folder,
        published(CLIPModel, folder),
        open_item_tower(ItemRecipe(kind="clip", exits=(1, 2)), folder),
        open_query_tower(QueryRecipe(kind="clip"), folder),
    )


@pytest.fixture(scope="module", params=[TRUE_SIZE, *TWO_LAYERS])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """One at a time in memory, and on disk."""
    name, layers = request.param
    folder = tmp_path_factory.mktemp("checkpoint") / name
    write_random(folder, name, layers=layers)
    yield case(folder)
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    write_random(folder, "clip-vit-b32", layers=1)
    return folder


def published_image(model: Any, x: Tensor, depth: int) -> Tensor:
    encoder = model.vision_model.encoder
    embedding = cut_off(encoder, depth, lambda: model.get_image_features(x.permute(0, 3, 1, 2)).pooler_output)
    return torch.nn.functional.normalize(embedding)


@torch.no_grad()
def published_text(folder: Path, model: Any, sentences: tuple[str, ...], length: int = 77) -> tuple[Tensor, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(list(sentences), padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output), tokens


def test_every_exit_equals_transformers_cut_off_at_that_depth(opened: Case) -> None:
    x = pictures(3, opened.item.preprocess.size)
    before = None
    depth = 0
    assert opened.item.published is not None
    for depth, activation in enumerate(activations(opened.item, x), 1):
        assert activation.shape[1:] == opened.item.shape(depth)
        with torch.no_grad():
            ours = opened.item.published(activation)
        wanted = published_image(opened.model, x, depth)
        assert cosines(ours, wanted).min() >= 0.9999, f"depth {depth}"
        if before is not None:  # else an exit at the wrong depth would pass
            assert cosines(before, wanted).max() < 0.999, f"depth {depth}"
        before = wanted
    assert depth == opened.model.config.vision_config.num_hidden_layers


def test_layers_that_healing_trains_equal_the_form_that_is_exported(opened: Case) -> None:
    x = pictures(2, opened.item.preprocess.size, seed=1)
    with torch.no_grad():
        trained = opened.item.stem(x)
        for layer in list(opened.item.layers)[:2]:
            trained = layer(trained)
        exported = opened.item.segment(0, 2)(x)
    assert cosines(trained, exported).min() >= 0.9999
    assert opened.item.pool(trained).shape == (2, 2 * trained.shape[2])


def test_short_cut_and_padded_sentences_equal_transformers(opened: Case) -> None:
    wanted, tokens = published_text(opened.folder, opened.model, SENTENCES)
    numbers, mask = device_tokens(opened.query, SENTENCES)
    assert numbers.tolist() == tokens["input_ids"].tolist()
    assert mask.tolist() == tokens["attention_mask"].tolist()
    assert mask.sum(1).tolist()[-1] == 77  # the long one was cut, and keeps its end
    assert mask.sum(1).min() == 2
    assert cosines(embed(opened.query, SENTENCES), wanted).min() >= 0.9999
    assert cosines(wanted[:1], wanted[1:2]).max() < 0.999


def test_both_towers_lead_into_the_space_of_the_checkpoint(opened: Case) -> None:
    assert opened.item.published is not None
    x = pictures(1, opened.item.preprocess.size)
    with torch.no_grad():
        picture = opened.item.published(opened.item.segment(0, len(opened.item.layers))(x))
    assert picture.shape[1] == embed(opened.query, [SHORT]).shape[1] == opened.model.config.projection_dim


def test_fewer_tokens_give_the_same_vectors_to_sentences_that_fit(small: Path) -> None:
    whole, short = (open_query_tower(QueryRecipe(kind="clip", tokens=tokens), small) for tokens in (0, 32))
    assert (whole.tokens, short.tokens) == (77, 32)
    torch.testing.assert_close(embed(short, SENTENCES[:4]), embed(whole, SENTENCES[:4]), atol=1e-5, rtol=0)


def test_sentence_cut_shorter_than_the_checkpoint_allows_equals_transformers_cut_there(small: Path) -> None:
    tower = open_query_tower(QueryRecipe(kind="clip", tokens=8), small)
    wanted, _ = published_text(small, published(CLIPModel, small), SENTENCES, length=8)
    assert cosines(embed(tower, SENTENCES), wanted).min() >= 0.9999


def test_config_that_names_its_end_token_gives_the_same_as_one_of_the_older_kind(small: Path) -> None:
    model = published(CLIPModel, small)
    assert model.text_model.eos_token_id == 2  # as published: the largest number is the end
    model.text_model.eos_token_id = AutoTokenizer.from_pretrained(small).eos_token_id
    tower = open_query_tower(QueryRecipe(kind="clip"), small)
    assert cosines(embed(tower, SENTENCES), published_text(small, model, SENTENCES)[0]).min() >= 0.9999


def test_table_ends_where_the_tokenizer_does(small: Path) -> None:
    tower = open_query_tower(QueryRecipe(kind="clip"), small)
    assert len(tower.table) == len(AutoTokenizer.from_pretrained(small)) < 49_408
    assert tower.table.shape[1] == tower.positions.shape[1] == tower.width == 512


def test_more_tokens_than_the_checkpoint_has_places_are_refused(small: Path) -> None:
    with pytest.raises(UsageError, match=r"^query\.tokens is 78: .*small has places for 77: must be 0, or 77 at most$"):
        open_query_tower(QueryRecipe(kind="clip", tokens=78), small)


def test_thinned_activation_keeps_the_class_token_and_the_picked_patches(small: Path) -> None:
    tower = open_item_tower(ItemRecipe(kind="clip", exits=(1,)), small)
    x = tower.stem(pictures(2, 224))
    picks = torch.zeros(2, 49)
    picks[0, [3, 30]], picks[1, [0, 48]] = 1, 1
    thinned = tower.thin(x, 2, picks)
    assert thinned.shape == (2, 3, 768)
    for row, kept in enumerate(([4, 31], [1, 49])):
        torch.testing.assert_close(thinned[row, 0], x[row, 0])
        assert {tuple(token[:3].tolist()) for token in thinned[row, 1:]} == {
            tuple(x[row, number, :3].tolist()) for number in kept
        }
