"""Fitting on small synthetic features: what is learnt, what stays as it was, and that a seed repeats it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.console import Console
from converter.heads import distilled
from converter.heads.distilled import Features, Heads, class_centre, fit_exit_head, fit_full_head, fit_heads
from converter.heads.forms import DIMENSION, ExitHead, FullHead, QueryHead, unit
from converter.heads.runaway import RunawayError
from converter.heads.steps import contrast
from converter.recipe import DistilledHeads, ExitHeadRecipe, Training, load_recipe

pytestmark = pytest.mark.convert

PHOTOS, VIEWS, TOPICS, POOLED, CLASSES = 96, 2, 8, 40, 10
HELD_OUT = PHOTOS * VIEWS // 2


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def silent(_done: int) -> None:
    """No bar."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As a build does; a second thread only waits on tensors as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def classifier() -> nn.Linear:
    linear = nn.Linear(POOLED, CLASSES)
    linear.weight.data, linear.bias.data = noise(CLASSES, POOLED, seed=1), torch.zeros(CLASSES)
    return linear


@pytest.fixture(scope="module")
def features() -> Features:
    """Photos of a few hidden topics; captions, features at the end and statistics at an exit all tell of them."""
    topics = noise(PHOTOS, TOPICS, seed=2)
    views = topics.repeat(VIEWS, 1) + 0.1 * noise(PHOTOS * VIEWS, TOPICS, seed=3)
    told = topics[:, None] + 0.2 * noise(PHOTOS, 3, TOPICS, seed=4)
    shared = noise(DIMENSION, seed=9)  # what all sentences have in common
    return Features(
        photos=PHOTOS,
        pooled=views @ noise(TOPICS, POOLED, seed=5),
        exits={
            depth: views @ noise(TOPICS, 56, seed=depth) + 0.5 * noise(PHOTOS * VIEWS, 56, seed=60 + depth)
            for depth in (8, 11)
        },
        captions=unit(told @ noise(TOPICS, DIMENSION, seed=7) + shared),
        classes=unit(noise(CLASSES, 4, DIMENSION, seed=8) + shared),
    )


@pytest.fixture
def recipe(small_recipe: Path) -> DistilledHeads:
    heads = load_recipe(small_recipe).heads
    assert isinstance(heads, DistilledHeads)
    training = Training(epochs=30, batch=32, rate=0.003, decay=0.05, dropout=0.1)
    return replace(heads, full=replace(heads.full, training=training), exit=replace(heads.exit, training=training))


def untrained(features: Features, classifier: nn.Linear) -> tuple[FullHead, QueryHead]:
    centre = class_centre(features)
    return FullHead(classifier, unit(unit(features.classes.mean(1)) - centre), 1.0, 2.0), QueryHead(centre)


@torch.no_grad()
def caption_loss(head: FullHead, query: QueryHead, features: Features) -> float:
    assert features.captions is not None
    plain = head.embed(features.pooled[:PHOTOS])
    return float(contrast(plain, query(features.captions[:, 0]), torch.tensor(20.0)))


def weights(heads: Heads) -> list[bytes]:
    modules = (*heads.exits, heads.full, heads.query)
    return [tensor.numpy().tobytes() for module in modules for tensor in module.state_dict().values()]


@torch.no_grad()
def agreement(head: ExitHead, inputs: Tensor, teacher: Tensor) -> float:
    return float((head.embed(inputs) * teacher).sum(1).mean())


def test_fitting_the_last_exit_lowers_the_loss_of_captions(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads
) -> None:
    head, query = untrained(features, classifier)
    before = caption_loss(head, query, features)
    fit_full_head(head, query, features, recipe.full, 0, silent)
    assert caption_loss(head, query, features) < 0.5 * before


def test_fitted_last_exit_still_knows_the_names_of_things(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads
) -> None:
    scores = {}
    for weight in (0.0, 1.0):
        head, query = untrained(features, classifier)
        fit_full_head(head, query, features, replace(recipe.full, class_weight=weight), 0, silent)
        with torch.no_grad():
            guesses = head.embed(features.pooled) @ query(features.classes.mean(1)).T
            right = guesses.argmax(1) == classifier(features.pooled).argmax(1)
        scores[weight] = float(right.float().mean())
    assert scores[1.0] > max(scores[0.0], 0.8)


def test_fitting_never_touches_the_classifier_and_the_class_texts(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads
) -> None:
    head, query = untrained(features, classifier)
    texts = head.class_texts.weight.clone()
    fit_full_head(head, query, features, recipe.full, 0, silent)
    assert torch.equal(head.classifier.weight, classifier.weight)
    assert torch.equal(head.class_texts.weight, texts)
    assert head.linear.weight.abs().max() > 0


def test_fitted_exit_agrees_with_its_teacher_on_photos_that_it_never_saw(
    features: Features, recipe: DistilledHeads
) -> None:
    inputs = features.exits[11]
    teacher = unit(features.pooled @ noise(POOLED, DIMENSION, seed=11))
    one_step = replace(recipe.exit.training, epochs=1, batch=HELD_OUT, rate=1e-9)
    unfitted = replace(recipe.exit, training=one_step)
    heads = [
        fit_exit_head(inputs[:HELD_OUT], teacher[:HELD_OUT], None, HELD_OUT, settings, 0, silent)
        for settings in (unfitted, recipe.exit)
    ]
    before, after = (agreement(head, inputs[HELD_OUT:], teacher[HELD_OUT:]) for head in heads)
    assert abs(before) < 0.2
    assert after > 0.8


def test_captions_beside_distillation_pull_an_exit_towards_them(features: Features, recipe: DistilledHeads) -> None:
    assert features.captions is not None
    teacher = unit(features.pooled @ noise(POOLED, DIMENSION, seed=11))
    queries = unit(features.captions - features.captions.mean((0, 1)))
    losses = []
    for weight in (0.0, 4.0):
        settings: ExitHeadRecipe = replace(recipe.exit, caption_weight=weight)
        head = fit_exit_head(features.exits[11], teacher, queries, PHOTOS, settings, 0, silent)
        with torch.no_grad():
            losses.append(contrast(head.embed(features.exits[11][:PHOTOS]), queries[:, 0], torch.tensor(20.0)))
    assert losses[1] < 0.7 * losses[0]


def test_equal_seeds_give_bit_equal_heads_whatever_ran_before(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console
) -> None:
    made = []
    for state in (1, 2):
        torch.manual_seed(state)
        made.append(weights(fit_heads(features, classifier, recipe, 0, console)))
    assert made[0] == made[1]


def test_another_seed_gives_other_heads(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console
) -> None:
    one = fit_heads(features, classifier, recipe, 0, console)
    other = fit_heads(features, classifier, recipe, 1, console)
    assert not torch.equal(one.full.linear.weight, other.full.linear.weight)
    assert not torch.equal(one.exits[0].linear.weight, other.exits[0].linear.weight)


def test_exits_are_fitted_shallow_to_deep_after_the_fitted_last_exit(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console
) -> None:
    heads = fit_heads(features, classifier, recipe, 0, console)
    with torch.no_grad():
        teacher = heads.full.embed(features.pooled)
    for head, inputs in zip(heads.exits, (features.exits[8], features.exits[11]), strict=True):
        torch.testing.assert_close(head.mean, inputs.mean(0))
        assert agreement(head, inputs, teacher) > 0.8


def test_without_captions_the_last_exit_and_the_query_stay_untrained_and_the_early_exits_learn(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console
) -> None:
    heads = fit_heads(replace(features, captions=None), classifier, recipe, 0, console)
    centre = unit(features.classes.mean(1)).mean(0)
    named = unit(unit(features.classes.mean(1)) - centre)
    with torch.no_grad():
        conse = unit(torch.softmax(classifier(features.pooled), -1) @ named)
        torch.testing.assert_close(heads.full.embed(features.pooled), conse, atol=1e-5, rtol=0)
        queries = features.classes[:, 0]
        torch.testing.assert_close(heads.query(queries), unit(queries - centre), atol=1e-5, rtol=0)
    assert agreement(heads.exits[1], features.exits[11], conse) > 0.5


def test_centre_lies_half_way_between_captions_and_class_texts(features: Features) -> None:
    assert features.captions is not None
    classes = unit(features.classes.mean(1)).mean(0)
    torch.testing.assert_close(class_centre(features), (features.captions.mean((0, 1)) + classes) / 2)
    torch.testing.assert_close(class_centre(replace(features, captions=None)), classes)


def test_progress_ticks_once_an_epoch_also_with_fewer_rows_than_a_batch(
    features: Features, recipe: DistilledHeads
) -> None:
    ticks: list[int] = []
    training = replace(recipe.exit.training, epochs=3, batch=10_000)
    teacher = unit(features.pooled @ noise(POOLED, DIMENSION, seed=11))
    settings = replace(recipe.exit, training=training)
    fit_exit_head(features.exits[8], teacher, None, PHOTOS, settings, 0, ticks.append)
    assert ticks == [1, 1, 1]


def test_contrast_of_equal_rows_is_the_cross_entropy_of_the_right_pairs() -> None:
    loss = contrast(torch.eye(4), torch.eye(4), torch.tensor(2.0))
    assert math.isclose(float(loss), math.log(math.exp(2) + 3) - 2, rel_tol=1e-6)


def test_other_views_of_the_same_photo_are_no_negatives() -> None:
    views = torch.eye(2).repeat(2, 1)  # two photos, two equal views of each
    scale, same = torch.tensor(50.0), distilled._other_views(torch.tensor([0, 1, 0, 1]))
    assert same.tolist() == [
        [False, False, True, False],
        [False, False, False, True],
        [True, False, False, False],
        [False, True, False, False],
    ]
    assert float(contrast(views, views, scale)) == pytest.approx(math.log(2), rel=1e-4)
    assert float(contrast(views, views, scale, same)) < 1e-6


def test_every_batch_of_the_early_exits_is_told_which_rows_show_one_photo(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, batches = distilled._other_views, []

    def seen(photo: Tensor) -> Tensor:
        batches.append(photo)
        return real(photo)

    monkeypatch.setattr(distilled, "_other_views", seen)
    fit_heads(features, classifier, recipe, 0, console)
    assert len(batches) == 2 * 30 * (PHOTOS * VIEWS // 32)  # two early exits; the last learns from plain views
    assert max(int(photo.max()) for photo in batches) == PHOTOS - 1
    epoch = torch.cat(batches[: PHOTOS * VIEWS // 32])
    assert torch.equal(epoch.bincount(), torch.full((PHOTOS,), VIEWS))


@pytest.mark.parametrize(
    ("part", "named"), [("full", "the last exit's heads"), ("exit", "an early exit's head")], ids=["full", "exit"]
)
def test_heads_that_run_away_are_named_with_step_and_what_to_lower(
    features: Features, classifier: nn.Linear, recipe: DistilledHeads, console: Console, part: str, named: str
) -> None:
    section = getattr(recipe, part)
    endless = replace(recipe, **{part: replace(section, training=replace(section.training, rate=1e30))})
    with pytest.raises(RunawayError) as caught:
        fit_heads(features, classifier, endless, 0, console)
    told = str(caught.value)
    assert told.startswith(f"{named}: the loss is ")
    assert told.endswith(f": lower heads.{part}.training.rate and run again, the stages before are kept")
