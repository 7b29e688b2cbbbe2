"""The small nets: they learn what is there, come out the same by seed, and have the shapes that their files hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from converter.heads.runaway import RunawayError
from converter.predictor import Gate, SurvivalNet, fit_net
from converter.recipe import PredictRecipe

RECIPE = PredictRecipe(hidden=16, epochs=15, batch=32, nets=2, dropout=0.1, decay=0.01, rate=5e-3)


def toy(seed: int, items: int = 400) -> tuple[Tensor, Tensor]:
    """Six features of different sizes; the first tells the shallow exit's survival, the deep one's is always high."""
    x = torch.randn(items, 6, generator=torch.Generator().manual_seed(seed))
    x = x * torch.tensor([1.0, 5.0, 0.1, 1.0, 100.0, 1.0]) + torch.tensor([3.0, 0.0, 0.0, -7.0, 1000.0, 0.0])
    shallow = (x[:, 0] > 3).float()
    return x, torch.stack([shallow, torch.full((items,), 0.9)], 1)


def fitted(seed: int = 0, recipe: PredictRecipe = RECIPE) -> Gate:
    return fit_net(*toy(0), recipe, seed, lambda _: None, told="a net")


def test_net_learns_what_one_feature_tells_and_what_is_always_so() -> None:
    x, survival = toy(1)
    chances = torch.sigmoid(fitted()(x))
    assert ((chances[:, 0] > 0.5) == (survival[:, 0] > 0.5)).float().mean() > 0.93
    assert (chances[:, 1] - 0.9).abs().mean() < 0.05


def test_net_that_is_told_noise_says_the_mean() -> None:
    x, _ = toy(0, items=1000)
    survival = torch.rand(1000, 1, generator=torch.Generator().manual_seed(7)).round()
    recipe = PredictRecipe(hidden=16, nets=1)
    chances = torch.sigmoid(fit_net(x, survival, recipe, 0, lambda _: None, told="a net")(toy(2)[0]))
    assert (chances - survival.mean()).abs().mean() < 0.1


def test_same_seed_gives_the_same_net_whatever_ran_before() -> None:
    x, _ = toy(3)
    first = fitted(seed=5)(x)
    torch.manual_seed(99)
    torch.rand(10)
    assert torch.equal(fitted(seed=5)(x), first)
    assert not torch.equal(fitted(seed=6)(x), first)


@pytest.mark.parametrize("nets", [1, 3])
def test_joined_net_is_two_linear_maps_and_says_the_same(nets: int) -> None:
    net = SurvivalNet(6, 4, PredictRecipe(hidden=8, nets=nets), seed=2)
    joined, x = net.joined(), torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    assert [tuple(parameter.shape) for parameter in joined.parameters()] == [
        (8 * nets, 6),
        (8 * nets,),
        (4, 8 * nets),
        (4,),
    ]
    torch.testing.assert_close(joined(x), net(x), atol=1e-6, rtol=1e-5)
    assert net(x).shape == (10, 4)


def test_nets_of_one_mean_differ_from_each_other() -> None:
    net = SurvivalNet(6, 4, RECIPE, seed=2)
    weights = [parameter for name, parameter in net.first.named_parameters() if name.endswith("weight")]
    assert len(weights) == 2
    assert not torch.equal(*weights)


def test_gate_standardises_its_inputs_itself() -> None:
    x, _ = toy(0)
    gate = fitted()
    standardised = (x - gate.mean) / gate.scale
    np.testing.assert_allclose(standardised.mean(0), np.zeros(6), atol=1e-3)
    np.testing.assert_allclose(standardised.std(0), np.ones(6), atol=1e-3)
    assert torch.equal(gate(x), gate.net(standardised))
    assert set(gate.state_dict()) >= {"mean", "scale"}


def test_feature_that_never_changed_in_teaching_decides_nothing_later() -> None:
    x, survival = toy(0)
    x[:, 5] = 0.1
    x[:, 2] = 1000 + 1e-4 * x[:, 2]  # no more than float32 can tell
    gate = fit_net(x, survival, RECIPE, 0, lambda _: None, told="a net")
    moved = x.clone()
    moved[:, 5] += 0.01
    moved[:, 2] += 0.01
    assert (torch.sigmoid(gate(moved)) - torch.sigmoid(gate(x))).abs().max() < 0.02


def test_net_is_for_reading_once_taught() -> None:
    assert not any(parameter.requires_grad for parameter in fitted().parameters())


def test_progress_is_told_after_each_net() -> None:
    told: list[int] = []
    fit_net(*toy(0, items=40), PredictRecipe(hidden=4, epochs=1, nets=3), 0, told.append, told="a net")
    assert told == [1, 1, 1]


def test_fewer_items_than_a_batch_are_one_batch() -> None:
    x, survival = toy(0, items=30)
    before = SurvivalNet(6, 2, RECIPE, 0)
    gate = fit_net(x, survival, PredictRecipe(hidden=16, epochs=2, batch=256, nets=2), 0, lambda _: None, told="a net")
    taught = dict(gate.net.named_parameters())
    assert all(not torch.equal(taught[name], old) for name, old in before.named_parameters())


def test_inputs_are_dropped_in_teaching_alone() -> None:
    net = SurvivalNet(200, 1, PredictRecipe(hidden=32, nets=1), 0)
    x, generator = torch.ones(1, 200), torch.Generator().manual_seed(0)
    drawn = torch.cat([net.taught(x, 0, 0.4, generator) for _ in range(50)])
    assert drawn.std() > 0
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("rate", [1e30, float("inf")])
def test_net_that_runs_away_is_named_with_the_step_and_what_to_lower(rate: float) -> None:
    with pytest.raises(RunawayError) as caught:
        fitted(recipe=replace(RECIPE, rate=rate))
    told = str(caught.value)
    assert told.startswith("a net: the loss is ")
    assert told.endswith(" of 180: lower predict.rate and run again, the stages before are kept")


def test_net_that_runs_away_in_its_last_step_does_not_pass() -> None:
    once = PredictRecipe(hidden=16, epochs=1, batch=400, nets=1, rate=float("inf"))
    with pytest.raises(RunawayError, match=r"^a net: a weight is no number after the last of 1 steps: lower predict"):
        fitted(recipe=once)
