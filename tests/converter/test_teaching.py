"""One window's training: what moves, what it is told, what a seed fixes, and what is left when it runs away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.heads.paired import Pair
from converter.heads.runaway import RunawayError
from converter.heads.steps import contrast
from converter.healing.lora import layers_of, merge
from converter.healing.teaching import Lessons, WindowLog, teach_window
from converter.recipe import HealRecipe
from converter.towers.tower import ItemTower
from edge.errors import UsageError
from tiny_vit import LAYERS, TOKENS, WIDTH, Toy, features, fitted, open_vit, recall_at_1, toy, write_vit

pytestmark = pytest.mark.convert

RECIPE = HealRecipe(rank=4, epochs=2, batch=32, tokens=0, negatives=16, rate=0.01)
COUNT = 96
WINDOW = (1, 2)


def silent(_done: int) -> None:
    """No bar."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="module")
def pairs(folder: Path, data: Toy) -> dict[int, Pair]:
    return fitted(open_vit(folder), data, (1, 2, LAYERS))


@pytest.fixture(scope="module")
def lessons(folder: Path, data: Toy, pairs: dict[int, Pair]) -> Lessons:
    return Lessons(data.captions, pairs[LAYERS].item.embed(features(open_vit(folder), data.items, LAYERS)))


@pytest.fixture(scope="module")
def inside(pairs: dict[int, Pair]) -> dict[int, Pair]:
    """The heads of the exits in WINDOW."""
    return {depth: pairs[depth] for depth in WINDOW}


@torch.no_grad()
def stem(tower: ItemTower, data: Toy) -> Tensor:
    return tower.stem(data.items)


def healed(
    tower: ItemTower, data: Toy, lessons: Lessons, pairs: dict[int, Pair], recipe: HealRecipe, seed: int = 0
) -> WindowLog:
    adapted, log = teach_window(tower, WINDOW, stem(tower, data), lessons, pairs, recipe, seed, silent)
    merge(adapted, tower, WINDOW[0])
    return log


def state(owner: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in owner.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def weights(tower: ItemTower) -> list[dict[str, Tensor]]:
    return [state(layer) for layer in tower.layers]


def kept(before: list[dict[str, Tensor]], tower: ItemTower) -> list[bool]:
    return [same(one, other) for one, other in zip(before, weights(tower), strict=True)]


def test_only_the_lora_of_the_window_trains_and_the_given_heads_stay(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    before, heads = weights(tower), [state(pair.modules()) for pair in inside.values()]
    adapted, _ = teach_window(tower, WINDOW, stem(tower, data), lessons, inside, RECIPE, 0, silent)
    base = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in nn.ModuleList(layers_of(adapted)).state_dict().items()
        if "lora" not in name
    }
    assert same(base, {f"{n}.{name}": tensor for n in (0, 1) for name, tensor in before[n].items()})
    changed = [parameter for name, parameter in adapted.named_parameters() if "lora_B" in name]
    assert len(changed) == 12
    assert all(parameter.abs().max() > 0 for parameter in changed)
    assert all(same(old, state(pair.modules())) for old, pair in zip(heads, inside.values(), strict=True))


def test_a_merged_window_differs_from_the_base_and_the_layers_above_do_not(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    before = weights(tower)
    healed(tower, data, lessons, inside, RECIPE)
    assert kept(before, tower) == [False, False, True, True]


def test_first_loss_is_the_contrast_of_the_given_heads_on_the_trunk_as_it_is(
    tower: ItemTower, data: Toy, lessons: Lessons, pairs: dict[int, Pair]
) -> None:
    pair, told = pairs[2], replace(lessons, captions=data.captions[:, :1])
    items = pair.item.embed(features(tower, data.items, 2))
    expected = float(contrast(items, pair.query(data.captions[:, 0]), pair.scale.exp()))
    whole = replace(RECIPE, batch=COUNT, distillation=0.0, epochs=1)  # a batch of all: no further captions are left
    assert healed(tower, data, told, {2: pair}, whole).losses[0] == pytest.approx(expected, rel=1e-4)


def test_healing_lowers_the_loss_and_refit_heads_find_no_less_among_unseen_items(folder: Path) -> None:
    before, after = [], []
    for seed in range(4):
        learnt, unseen, tower = toy(COUNT, seed), toy(4 * COUNT, seed=50 + seed), open_vit(folder)
        given = fitted(tower, learnt, (2, LAYERS))
        before.append(recall_at_1(given[2], features(tower, unseen.items, 2), unseen.captions))
        example = given[LAYERS].item.embed(features(tower, learnt.items, LAYERS))
        log = healed(tower, learnt, Lessons(learnt.captions, example), {2: given[2]}, replace(RECIPE, epochs=20), seed)
        assert sum(log.losses[-3:]) < 0.5 * sum(log.losses[:3])
        refit = fitted(tower, learnt, (2,))[2]
        after.append(recall_at_1(refit, features(tower, unseen.items, 2), unseen.captions))
    assert sum(after) >= sum(before)  # of 384 items one time alone may lie .03 off


def test_distillation_alone_teaches_without_captions(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    log = healed(tower, data, replace(lessons, captions=None), inside, replace(RECIPE, epochs=10))
    assert sum(log.losses[-3:]) < 0.8 * sum(log.losses[:3])


def test_captions_weigh_nothing_where_the_recipe_says_so(
    folder: Path, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    recipe = replace(RECIPE, captions=0.0)
    told = healed(open_vit(folder), data, lessons, inside, recipe)
    untold = healed(open_vit(folder), data, replace(lessons, captions=None), inside, recipe)
    assert told.losses == untold.losses


def test_a_seed_repeats_its_result_bit_for_bit_and_another_seed_does_not(
    folder: Path, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    recipe, made = replace(RECIPE, tokens=8), []
    for seed, before in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(before)
        tower = open_vit(folder)
        log = healed(tower, data, lessons, inside, recipe, seed)
        made.append((log.losses, state(tower.layers[0])))
    assert made[0][0] == made[1][0]
    assert same(made[0][1], made[1][1])
    assert made[0][0] != made[2][0]
    assert not same(made[0][1], made[2][1])


def test_a_loss_that_is_no_number_names_step_and_layers_and_leaves_every_weight_as_it_was(
    tower: ItemTower, data: Toy, lessons: Lessons, pairs: dict[int, Pair]
) -> None:
    healed(tower, data, lessons, {2: pairs[2]}, RECIPE)
    before = weights(tower)
    with torch.no_grad():
        inputs = tower.layers[1](tower.layers[0](stem(tower, data)))
    runaway = replace(RECIPE, rate=1e30)
    told = r"lower heal\.rate and run again, the stages before are kept"
    with pytest.raises(RunawayError, match=rf"layers 3 to 4: the loss is nan at step \d of 6: {told}$"):
        teach_window(tower, (3, 4), inputs, lessons, {4: pairs[4]}, runaway, 0, silent)
    assert kept(before, tower) == [True] * LAYERS


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_window_sees_its_items_as_often_as_the_recipe_says(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair], epochs: int
) -> None:
    recipe = replace(RECIPE, epochs=epochs)
    _, log = teach_window(tower, WINDOW, stem(tower, data), lessons, inside, recipe, 0, silent)
    assert len(log.losses) == epochs * (COUNT // recipe.batch)


def test_a_weight_that_runs_away_in_the_last_step_is_seen_before_it_is_merged(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    before = weights(tower)
    endless = replace(RECIPE, batch=COUNT, epochs=1, rate=float("inf"))
    with pytest.raises(RunawayError, match="layers 1 to 2: a weight is no number after the last of 1 steps"):
        teach_window(tower, WINDOW, stem(tower, data), lessons, inside, endless, 0, silent)
    assert kept(before, tower) == [True] * LAYERS


def test_an_interrupted_window_leaves_no_lora_behind(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    def interrupt(_done: int) -> None:
        raise KeyboardInterrupt

    before = weights(tower)
    with pytest.raises(KeyboardInterrupt):
        teach_window(tower, WINDOW, stem(tower, data), lessons, inside, RECIPE, 0, interrupt)
    assert kept(before, tower) == [True] * LAYERS


def test_a_window_with_nothing_to_learn_from_is_refused_and_told_what_to_change(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    x = stem(tower, data)
    with pytest.raises(UsageError, match=r"layers 1 to 2: there is no exit among them.*end heal\.windows at exits"):
        teach_window(tower, WINDOW, x, lessons, {}, RECIPE, 0, silent)
    mute = replace(RECIPE, distillation=0.0)
    with pytest.raises(UsageError, match=r"heal\.distillation is 0 and the data has no captions"):
        teach_window(tower, WINDOW, x, replace(lessons, captions=None), inside, mute, 0, silent)


def test_thinning_keeps_the_class_token_and_picks_rows_that_exist(tower: ItemTower, data: Toy) -> None:
    x = stem(tower, data)[:8]
    picks = torch.rand(8, TOKENS - 1, generator=torch.Generator().manual_seed(0))
    thin = tower.thin(x, 5, picks)
    assert thin.shape == (8, 6, WIDTH)
    assert torch.equal(thin[:, 0], x[:, 0])
    for item in range(8):
        rows = [int((x[item] == row).all(1).nonzero()[0, 0]) for row in thin[item, 1:]]
        assert sorted(rows) == sorted((picks[item].topk(5).indices + 1).tolist())


def test_training_sees_some_tokens_of_each_item_or_all_where_there_are_not_more(
    folder: Path, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    seen = {}
    for tokens in (0, 8, 16, 64):
        tower, widths = open_vit(folder), set[int]()
        hook = tower.layers[0].register_forward_pre_hook(lambda _layer, x, widths=widths: widths.add(x[0].shape[1]))
        healed(tower, data, lessons, inside, replace(RECIPE, epochs=1, tokens=tokens))
        hook.remove()
        seen[tokens] = widths
    assert seen == {0: {TOKENS}, 8: {9}, 16: {TOKENS}, 64: {TOKENS}}


def test_bfloat16_products_heal_nearly_as_float32_ones_do(
    folder: Path, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    exact = healed(open_vit(folder), data, lessons, inside, RECIPE)
    tower = open_vit(folder)
    inputs = stem(tower, data).bfloat16()
    adapted, short = teach_window(tower, WINDOW, inputs, lessons, inside, RECIPE, 0, silent)
    merge(adapted, tower, 1)
    assert short.losses == pytest.approx(exact.losses, rel=0.05)
    assert all(tensor.dtype is torch.float32 for tensor in state(tower.layers[0]).values())


def test_progress_ticks_once_a_step_and_the_log_has_every_loss(
    tower: ItemTower, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    ticks: list[int] = []
    _, log = teach_window(tower, WINDOW, stem(tower, data), lessons, inside, RECIPE, 0, ticks.append)
    assert (log.first, log.last) == WINDOW
    assert len(log.losses) == len(ticks) == 2 * (COUNT // 32)


def test_further_captions_make_the_task_harder_and_never_name_an_item_of_the_batch(
    folder: Path, data: Toy, lessons: Lessons, inside: dict[int, Pair]
) -> None:
    recipe = replace(RECIPE, distillation=0.0, batch=32, epochs=1)
    alone, among = (
        healed(open_vit(folder), data, lessons, inside, replace(recipe, negatives=n)).losses[0] for n in (0, COUNT)
    )
    assert among > alone
    whole = replace(recipe, batch=COUNT)  # every further caption is one of the batch's
    one, other = (
        healed(open_vit(folder), data, lessons, inside, replace(whole, negatives=n)).losses[0] for n in (0, COUNT)
    )
    assert one == pytest.approx(other, rel=0.1)
