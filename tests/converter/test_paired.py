"""Pairs of heads: a matching is learnt, from standardised features, the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor

from converter.console import Console
from converter.heads.fitting import Study, fit_pairs
from converter.heads.forms import unit
from converter.heads.paired import Pair, fit_pair, new_pair
from converter.heads.runaway import RunawayError
from converter.recipe import PairedHeads, Training
from converter.towers.transformer import ClassAndMean
from tiny_vit import open_vit, write_vit

pytestmark = pytest.mark.convert

ITEMS, TOPICS, FEATURES, WORDS = 128, 8, 40, 24
RECIPE = PairedHeads(
    kind="paired",
    dimension=16,
    hidden=0,
    training=Training(epochs=30, batch=32, rate=3e-3, decay=0.01, dropout=0.2),
)
DEEP = replace(RECIPE, hidden=32)


def silent(_done: int) -> None:
    """No bar."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def matching(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, F) and captions (N, 3, G) of the same topics; scales and offsets as unlike as real ones are."""
    topics = noise(ITEMS, TOPICS, seed=seed)
    features = topics @ noise(TOPICS, FEATURES, seed=101) * torch.logspace(-2, 2, FEATURES) + 50
    told = topics[:, None] + 0.1 * noise(ITEMS, 3, TOPICS, seed=seed + 1)
    return features, told @ noise(TOPICS, WORDS, seed=102) - 7


def fit(recipe: PairedHeads = RECIPE, seed: int = 0) -> Pair:
    features, captions = matching()
    return fit_pair(features, captions, ClassAndMean(), recipe, seed, silent, told="the heads")


def weights(pair: Pair) -> list[bytes]:
    tensors = [*pair.modules().state_dict().values(), pair.scale.detach()]
    return [tensor.numpy().tobytes() for tensor in tensors]


def recall_at_1(pair: Pair, features: Tensor, captions: Tensor) -> float:
    found = (pair.query(captions) @ pair.item.embed(features).T).argmax(1)
    return float((found == torch.arange(len(features))).float().mean())


@pytest.mark.parametrize("recipe", [RECIPE, DEEP], ids=["one map", "two maps"])
def test_a_fitted_pair_matches_items_and_captions_that_it_never_saw(recipe: PairedHeads) -> None:
    features, captions = matching(seed=50)
    untaught = new_pair(*matching(), ClassAndMean(), recipe, 0)
    assert recall_at_1(untaught, features, captions[:, 0]) < 0.1
    assert recall_at_1(fit(recipe), features, captions[:, 0]) > 0.8


@pytest.mark.parametrize("recipe", [RECIPE, DEEP], ids=["one map", "two maps"])
def test_equal_seeds_give_equal_bytes_whatever_ran_before_and_another_seed_others(recipe: PairedHeads) -> None:
    made = []
    for state, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(state)
        made.append(weights(fit(recipe, seed)))
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_heads_standardise_what_they_read() -> None:
    features, captions = matching()
    pair = new_pair(features, captions, ClassAndMean(), RECIPE, 0)
    for mean, scale, rows in (
        (pair.item.mean, pair.item.scale, features),
        (pair.query.mean, pair.query.scale, captions.flatten(0, 1)),
    ):
        standard = (rows - mean) / scale
        torch.testing.assert_close(standard.mean(0), torch.zeros(rows.shape[1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(standard.std(0), torch.ones(rows.shape[1]), atol=0.02, rtol=0)


def test_a_feature_that_never_changes_does_not_blow_up() -> None:
    features, captions = matching()
    features[:, 0] = 3.0
    pair = fit_pair(features, captions, ClassAndMean(), RECIPE, 0, silent, told="the heads")
    assert torch.isfinite(pair.item.embed(features)).all()


@pytest.mark.parametrize("recipe", [RECIPE, DEEP], ids=["one map", "two maps"])
def test_dropout_acts_in_training_alone(recipe: PairedHeads) -> None:
    features, captions = matching()
    pair, generator = fit(recipe), torch.Generator().manual_seed(0)
    sides: tuple[tuple[Any, Tensor, Tensor], ...] = (
        (pair.item, features, pair.item.embed(features)),
        (pair.query, captions[:, 0], pair.query(captions[:, 0])),
    )
    for head, inputs, whole in sides:
        assert torch.equal(head.taught(inputs, 0.0, generator), whole)
        one, other = (head.taught(inputs, 0.5, generator) for _ in range(2))
        assert not torch.allclose(one, whole, atol=0.05)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("recipe", [RECIPE, DEEP], ids=["one map", "two maps"])
def test_an_activation_is_pooled_then_embedded(recipe: PairedHeads) -> None:
    x, captions = noise(ITEMS, 5, FEATURES // 2, seed=3), matching()[1]
    pool = ClassAndMean()
    pair = fit_pair(pool(x), captions, pool, recipe, 0, silent, told="the heads")
    assert torch.equal(pair.item(x), pair.item.embed(pool(x)))


def test_both_sides_give_rows_of_unit_norm_in_one_space() -> None:
    features, captions = matching()
    pair = fit(DEEP)
    for rows in (pair.item.embed(features), pair.query(captions[:, 0])):
        assert rows.shape == (ITEMS, RECIPE.dimension)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(ITEMS))


def test_the_item_head_of_two_maps_has_a_gelu_between_them() -> None:
    features, _ = matching()
    head = fit(DEEP).item
    assert head.hidden is not None
    middle = torch.nn.functional.gelu(head.hidden((features - head.mean) / head.scale))
    torch.testing.assert_close(head.embed(features), unit(head.linear(middle)))


def test_a_fitted_pair_is_done_learning() -> None:
    pair = fit()
    assert not any(parameter.requires_grad for parameter in (*pair.modules().parameters(), pair.scale))


def test_progress_ticks_once_an_epoch_also_with_fewer_items_than_a_batch() -> None:
    ticks: list[int] = []
    few = replace(RECIPE, training=replace(RECIPE.training, epochs=3, batch=10_000))
    fit_pair(*matching(), ClassAndMean(), few, 0, ticks.append, told="the heads")
    assert ticks == [1, 1, 1]


def fast(rate: float, epochs: int = 30, batch: int = 32) -> PairedHeads:
    return replace(RECIPE, training=replace(RECIPE.training, rate=rate, epochs=epochs, batch=batch))


def test_heads_that_run_away_are_named_with_depth_step_and_what_to_lower(console: Console, tmp_path: Path) -> None:
    features, captions = matching()
    write_vit(tmp_path)
    study = Study({3: features, 4: features}, ITEMS, captions)
    with pytest.raises(RunawayError) as caught:
        fit_pairs(open_vit(tmp_path), study, fast(1e30), 0, console)
    told = str(caught.value)
    assert told.startswith("the heads at depth 3: the loss is nan at step ")
    assert told.endswith(" of 120: lower heads.training.rate and run again, the stages before are kept")


def test_heads_that_run_away_in_their_last_step_do_not_pass() -> None:
    with pytest.raises(RunawayError, match=r"^the heads: a weight is no number after the last of 1 steps"):
        fit(fast(float("inf"), epochs=1, batch=ITEMS))
