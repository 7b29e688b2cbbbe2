"""Cached activations: the trunk's own, at any depth, and still valid after later windows have healed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor

from converter.healing.activations import BATCH, Activations, fastest_precision, run_layers, stream_features
from converter.healing.lora import merge
from converter.healing.teaching import Lessons, teach_window
from converter.recipe import HealRecipe
from converter.towers import efficientnet_lite
from converter.towers.tower import ItemTower
from edge.items import Floats
from references import pictures
from tiny_vit import LAYERS, TOKENS, WIDTH, Toy, features, fitted, open_vit, toy, write_vit

pytestmark = pytest.mark.convert

COUNT = BATCH + 5  # more than one batch, the last of them not full


def silent(_done: int) -> None:
    """No bar."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "vit"
    write_vit(folder)
    return folder


@pytest.fixture
def tower(folder: Path) -> ItemTower:
    return open_vit(folder)


@pytest.fixture(scope="module")
def data() -> Toy:
    return toy(COUNT)


def rows(data: Toy) -> Iterator[Floats]:
    yield from data.items.numpy()


def started(tower: ItemTower, data: Toy, precision: torch.dtype = torch.float32) -> Activations:
    activations = Activations(tower, precision)
    activations.start(rows(data), COUNT, silent)
    return activations


def heal(tower: ItemTower, window: tuple[int, int], inputs: Tensor, data: Toy, exit_: int) -> None:
    """One epoch on one window, merged."""
    recipe = HealRecipe(rank=4, epochs=1, batch=16, tokens=8, rate=0.01)
    pairs = fitted(tower, data, (exit_,))
    lessons = Lessons(data.captions, torch.nn.functional.normalize(features(tower, data.items, LAYERS)))
    adapted, _ = teach_window(tower, window, inputs, lessons, pairs, recipe, 0, silent)
    merge(adapted, tower, window[0])


def test_features_at_each_exit_are_those_of_the_trunk(tower: ItemTower, data: Toy) -> None:
    activations = started(tower, data)
    assert activations.tensor.shape == (COUNT, TOKENS, WIDTH)
    found = activations.climb(3, {1, 3}, silent)
    assert list(found) == [1, 3]
    for depth, x in found.items():
        torch.testing.assert_close(x, features(tower, data.items, depth), atol=1e-5, rtol=1e-5)


def test_climbing_in_two_legs_gives_bit_for_bit_what_one_leg_gives(tower: ItemTower, data: Toy) -> None:
    whole, legs = started(tower, data), started(tower, data)
    at_once = whole.climb(LAYERS, {1, 2, 4}, silent)
    in_legs = {**legs.climb(2, {1, 2, 4}, silent), **legs.climb(LAYERS, {1, 2, 4}, silent)}
    assert at_once.keys() == in_legs.keys()
    assert all(torch.equal(at_once[depth], in_legs[depth]) for depth in at_once)
    assert torch.equal(whole.tensor, legs.tensor)
    assert legs.depth == LAYERS


def test_later_windows_leave_the_activations_of_finished_exits_unchanged_bit_for_bit(
    tower: ItemTower, data: Toy
) -> None:
    unhealed = started(tower, data).climb(2, {2}, silent)[2]
    cache = started(tower, data)
    heal(tower, (1, 2), cache.tensor, data, 2)
    finished = cache.climb(2, {2}, silent)[2]
    kept = cache.tensor.clone()
    heal(tower, (3, 4), cache.tensor, data, 4)
    deep = cache.climb(LAYERS, {4}, silent)[4]

    again = started(tower, data)
    assert torch.equal(again.climb(2, {2}, silent)[2], finished)
    assert torch.equal(again.tensor, kept)
    assert torch.equal(again.climb(LAYERS, {4}, silent)[4], deep)
    assert not torch.allclose(finished, unhealed, atol=1e-3)


def test_bfloat16_activations_take_half_the_room_and_give_nearly_the_same_features(tower: ItemTower, data: Toy) -> None:
    exact, short = started(tower, data), started(tower, data, torch.bfloat16)
    one, other = (cache.climb(LAYERS, {2, 4}, silent) for cache in (exact, short))
    assert short.tensor.dtype is torch.bfloat16
    assert short.tensor.nbytes * 2 == exact.tensor.nbytes
    for depth in (2, 4):
        assert other[depth].dtype is torch.float32
        assert torch.nn.functional.cosine_similarity(one[depth], other[depth]).min() > 0.999


def test_maps_of_a_convolutional_tower_climb_too_though_their_shape_changes() -> None:
    lite = efficientnet_lite.load()
    items = pictures(3, efficientnet_lite.SIDE)
    cache = Activations(lite, torch.float32)
    cache.start(items.numpy(), 3, silent)
    found = cache.climb(5, {3, 5}, silent)
    assert cache.tensor.shape == (3, *lite.shape(5))
    torch.testing.assert_close(found[5], features(lite, items, 5), atol=1e-4, rtol=1e-4)


def test_a_stream_gives_the_same_features_and_keeps_no_activation(tower: ItemTower, data: Toy) -> None:
    ticks: list[int] = []
    streamed = stream_features(tower, rows(data), (1, 3), tower.pool, ticks.append)
    climbed = started(tower, data).climb(3, {1, 3}, silent)
    assert list(streamed) == [1, 3]
    assert all(torch.equal(streamed[depth], climbed[depth]) for depth in (1, 3))
    assert ticks == [BATCH, 5]


def test_every_item_is_told_to_the_bar_once_a_climb(tower: ItemTower, data: Toy) -> None:
    ticks: list[int] = []
    cache = Activations(tower, torch.float32)
    cache.start(rows(data), COUNT, ticks.append)
    assert ticks == [BATCH, 5]
    cache.climb(2, (), ticks.append)
    assert ticks == [BATCH, 5] * 2


def test_activations_need_no_gradient(tower: ItemTower, data: Toy) -> None:
    cache = started(tower, data)
    found = cache.climb(2, {2}, silent)
    assert not cache.tensor.requires_grad
    assert not found[2].requires_grad


def test_precision_is_what_the_recipe_says_and_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, chosen in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able)
        assert fastest_precision("auto") is chosen
        assert fastest_precision("bfloat16") is torch.bfloat16
        assert fastest_precision("float32") is torch.float32


def test_a_run_through_layers_keeps_the_exits_that_lie_on_it(tower: ItemTower) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, TOKENS, WIDTH)).astype(np.float32))
    with torch.no_grad():
        found = run_layers(tower.layers[1:3], x, {1, 2, 3, 4}, 2)
        by_hand = tower.layers[1](x)
    assert list(found) == [2, 3]
    assert torch.equal(found[2], by_hand)
