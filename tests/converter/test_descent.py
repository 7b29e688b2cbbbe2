"""What all training here shares: batches, dropout, rates that rise and fall."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.heads.runaway import RunawayError, Watch
from converter.heads.steps import Descent, batches, drop, step_count

pytestmark = pytest.mark.convert


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_epoch_shows_each_row_once_but_for_a_last_batch_that_is_not_full() -> None:
    ticks: list[int] = []
    found = list(batches(10, 3, 2, seeded(), ticks.append))
    assert [len(rows) for rows in found] == [3] * 6
    for epoch in (found[:3], found[3:]):
        assert len(set(torch.cat(epoch).tolist())) == 9
    assert not torch.equal(torch.cat(found[:3]), torch.cat(found[3:]))
    assert ticks == [1, 1]
    assert step_count(10, 3, 2) == 6


def test_fewer_rows_than_a_batch_make_one_batch_of_all() -> None:
    found = list(batches(4, 100, 3, seeded()))
    assert [sorted(rows.tolist()) for rows in found] == [[0, 1, 2, 3]] * 3
    assert step_count(4, 100, 3) == 3


def test_dropout_keeps_the_mean_and_without_a_share_takes_no_random_number() -> None:
    generator, ones = seeded(), torch.ones(200, 200)
    assert drop(ones, 0.0, generator) is ones
    assert torch.equal(generator.get_state(), seeded().get_state())
    dropped = drop(ones, 0.25, generator)
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


def watch(steps: int) -> Watch:
    return Watch(what="the map", steps=steps, rate="some.rate")


def walked(steps: int, *, plain: bool = False, size: float = 1.0) -> list[float]:
    """How far each step goes on a slope of constant steepness: AdamW goes as far as its rate."""
    place = nn.Parameter(torch.zeros(1))
    descent, far = Descent({0.1: [place]}, 0.0, watch(steps), plain=plain), []
    for _ in range(steps):
        before = place.item()
        descent.step(-size * place.sum())
        far.append(place.item() - before)
    return far


def test_rates_rise_over_a_twentieth_of_the_steps_and_then_fall_to_nothing() -> None:
    far = walked(100)
    assert far[:4] == pytest.approx([0.02, 0.04, 0.06, 0.08], rel=0.01)
    assert max(far) == pytest.approx(0.1, rel=0.02)
    assert far.index(max(far)) == 4
    assert far[5:] == sorted(far[5:], reverse=True)
    assert far[-1] < 0.001


def test_a_plain_descent_starts_at_its_highest_rate() -> None:
    far = walked(100, plain=True)
    assert far[0] == pytest.approx(0.1, rel=0.001)
    assert far == sorted(far, reverse=True)


def test_each_group_goes_at_its_own_rate() -> None:
    slow, fast = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    descent = Descent({0.001: [slow], 0.1: [fast], 0.5: []}, 0.0, watch(1))
    descent.step(-(slow + fast).sum())
    assert fast.item() == pytest.approx(100 * slow.item(), rel=0.01)


def gradient(*, plain: bool) -> Tensor:
    place = nn.Parameter(torch.zeros(4))
    Descent({0.1: [place]}, 0.0, watch(10), plain=plain).step(30 * place.sum())
    assert place.grad is not None
    return place.grad


def test_gradients_are_cut_at_norm_1_but_for_a_plain_descent() -> None:
    assert float(gradient(plain=False).norm()) == pytest.approx(1.0, rel=1e-4)
    assert float(gradient(plain=True).norm()) == pytest.approx(60.0)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_loss_that_is_no_number_ends_the_descent_before_its_step_and_names_step_and_rate(number: float) -> None:
    place = nn.Parameter(torch.zeros(1))
    descent = Descent({0.1: [place]}, 0.0, watch(5))
    descent.step(place.sum())
    before = place.item()
    with pytest.raises(RunawayError) as caught:
        descent.step(place.sum() + number)
    assert str(caught.value) == (
        f"the map: the loss is {number} at step 2 of 5: lower some.rate and run again, the stages before are kept"
    )
    assert caught.value.exit_code == 1
    assert place.item() == before


def test_weight_that_is_no_number_after_the_last_step_is_seen_and_before_it_the_next_loss_would_tell() -> None:
    place = nn.Parameter(torch.ones(1))
    Descent({float("inf"): [place]}, 0.0, watch(2)).step(place.sum())
    assert not torch.isfinite(place).all()
    with pytest.raises(
        RunawayError, match=r"^the map: a weight is no number after the last of 1 steps: lower some\.rate"
    ):
        Descent({float("inf"): [place := nn.Parameter(torch.ones(1))]}, 0.0, watch(1)).step(place.sum())
