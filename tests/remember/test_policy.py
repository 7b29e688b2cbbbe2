"""Where items leave: the device decides as the host did, at the setting that the config asks for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter.policies import gated, predicted
from edge.bank import Banks
from edge.bundle import Bundle, Exit, Policies, PolicySetting, Tower
from edge.config import RememberConfig
from edge.errors import BundleError, UsageError
from edge.items import Floats
from edge.policy import Rule
from edge.relevance import Norm, Profile, gate_inputs, predictor_inputs, sigmoid
from edge.remember import Elevator, Fixed, Policy, choose_setting, open_policy
from edge.runtime import Activation, Invoke, TowerRunner

COSTS = (0.74, 0.8, 0.86, 0.92)


@pytest.fixture(scope="session")
def arrived(image: TowerRunner, pictures: list[Path]) -> list[Activation]:
    return [image.start_images([path.read_bytes()]) for path in pictures[::2]]


@pytest.fixture(scope="session")
def everywhere(image: TowerRunner, banks: Banks, arrived: list[Activation]) -> list[tuple[Floats, Profile]]:
    """What the host has: every item at every exit, its activation and it beside the bank."""
    stops: list[list[Floats]] = [[] for _ in image.spec.exits]
    embeddings: list[list[Floats]] = [[] for _ in image.spec.exits]
    for here in arrived:  # one by one: of all at once the runtime would keep gigabytes
        for number, place in enumerate(image.spec.exits):
            here = image.advance(here, place.segment)  # noqa: PLW2901 - on its way up
            stops[number].append(here.tensor)
            embeddings[number].append(image.embed(here, place))
    profiles = [
        banks.profile(np.concatenate(rows), place) for rows, place in zip(embeddings, image.spec.exits, strict=True)
    ]
    return [(np.concatenate(tensors), profile) for tensors, profile in zip(stops, profiles, strict=True)]


def ride(image: TowerRunner, banks: Banks, policy: Policy, arrived: list[Activation], batch: int) -> list[int]:
    """The number of the exit where each item leaves."""
    elevator = Elevator(image, policy, banks)
    exits: list[int] = []
    for start in range(0, len(arrived), batch):
        left = sorted(elevator.ride(arrived[start : start + batch]), key=lambda one: one.place)
        exits += [image.spec.exits.index(one.exit) for one in left]
    return exits


def config(policy: str, cost: float | None) -> RememberConfig:
    return RememberConfig(policy=policy, cost=cost)  # type: ignore[arg-type] # one of three


def rule_of(image: TowerRunner, policy: str, cost: float) -> Rule:
    assert image.spec.policies is not None
    return Rule.of(image.spec, image.spec.policies.nearest(policy, cost))  # type: ignore[arg-type] # one of three


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("cost", COSTS)
def test_gates_let_items_out_where_the_host_did(
    cost: float,
    batch: int,
    bundle: Bundle,
    image: TowerRunner,
    banks: Banks,
    invoke: Invoke,
    arrived: list[Activation],
    everywhere: list[tuple[Floats, Profile]],
) -> None:
    known, before = [], None
    for place, (_, here) in zip(image.spec.exits, everywhere, strict=True):
        assert place.gate is not None
        known.append(sigmoid(invoke(place.gate, {"x": gate_inputs(here, before)})))
        before = here
    expected = gated(known)(rule_of(image, "gate", cost))
    assert len(set(expected.tolist())) > 1
    policy = open_policy(image.spec, config("gate", cost), bundle.folder, invoke)
    assert ride(image, banks, policy, arrived, batch) == expected.tolist()


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("cost", COSTS)
def test_predictor_sends_items_where_the_host_did(
    cost: float,
    batch: int,
    bundle: Bundle,
    image: TowerRunner,
    banks: Banks,
    invoke: Invoke,
    arrived: list[Activation],
    everywhere: list[tuple[Floats, Profile]],
) -> None:
    assert image.spec.predictor is not None
    activation, here = everywhere[0]
    norm = Norm.read(bundle.folder / image.spec.predictor.norm)
    x = predictor_inputs(here.numbers, activation, norm)
    expected = predicted(sigmoid(invoke(image.spec.predictor.model, {"x": x})))(rule_of(image, "predict", cost))
    assert len(set(expected.tolist())) > 1
    policy = open_policy(image.spec, config("predict", cost), bundle.folder, invoke)
    assert ride(image, banks, policy, arrived, batch) == expected.tolist()


def test_fixed_takes_the_exit_nearest_to_the_cost_for_every_item(
    bundle: Bundle, image: TowerRunner, invoke: Invoke
) -> None:
    for number, place in enumerate(image.spec.exits):
        assert place.cost is not None
        assert open_policy(image.spec, config("fixed", place.cost), bundle.folder, invoke) == Fixed(number)


def test_shipped_bundle_takes_its_default_at_the_setting_that_it_recommends(image: TowerRunner) -> None:
    setting = choose_setting(image.spec, RememberConfig())
    assert isinstance(setting, PolicySetting)
    assert (setting.policy, setting.cost) == ("gate", 0.80257)
    assert sum(share > 0.05 for share in setting.exits) == len(image.spec.exits)


# Towers by hand: what the config asks for, from what there is.
def a_setting(policy: str, cost: float, at_10: float) -> PolicySetting:
    return PolicySetting(
        policy=policy,  # type: ignore[arg-type] # one of three
        centre=16 * cost,
        cost=cost,
        recall_at_1=0.1,
        recall_at_10=at_10,
        kept_at_10=at_10 / 0.7,
        exits=(0.4, 0.3, 0.2, 0.1),
    )


FULL, HALF, CHEAP = a_setting("fixed", 1.0, 0.7), a_setting("fixed", 0.5, 0.67), a_setting("fixed", 0.3, 0.5)
GATE, DEAR_GATE = a_setting("gate", 0.5, 0.68), a_setting("gate", 0.75, 0.69)


@pytest.fixture
def tower(image: TowerRunner) -> Tower:
    """The shipped one with settings of ours; its default is `gate`."""
    assert image.spec.policies is not None
    policies = Policies(
        default="gate", stray=60.0, survival=image.spec.policies.survival, settings=(FULL, HALF, CHEAP, GATE, DEAR_GATE)
    )
    return replace(image.spec, policies=policies)


@pytest.mark.parametrize(
    ("policy", "cost", "expected"),
    [
        ("auto", None, GATE),
        ("auto", 0.9, DEAR_GATE),
        ("gate", 0.1, GATE),
        ("fixed", None, HALF),
        ("fixed", 0.35, CHEAP),
        ("gate", 0.625, GATE),  # as near as DEAR_GATE, and cheaper
    ],
)
def test_policy_and_cost_of_the_config_choose_among_the_settings(
    policy: str, cost: float | None, expected: PolicySetting, tower: Tower
) -> None:
    assert choose_setting(tower, config(policy, cost)) == expected


def test_policy_that_never_finds_enough_goes_to_full_depth(tower: Tower) -> None:
    assert tower.policies is not None
    weak = replace(tower.policies, settings=(FULL, a_setting("gate", 0.4, 0.3)))
    assert choose_setting(replace(tower, policies=weak), config("gate", None)) == FULL


def test_policy_without_a_setting_is_refused_with_those_that_have_one(tower: Tower) -> None:
    with pytest.raises(UsageError, match=r"^remember\.policy: policy predict has no setting: there are fixed, gate$"):
        choose_setting(tower, config("predict", None))


def test_exit_depth_goes_before_every_policy_and_must_be_there(tower: Tower) -> None:
    assert choose_setting(tower, RememberConfig(exit_depth=15)) == 2
    with pytest.raises(UsageError, match=r"^remember\.exit_depth: no exit at depth 4: there are 8, 11, 15, 16$"):
        choose_setting(tower, RememberConfig(exit_depth=4))


def without_policies(tower: Tower, costs: Sequence[float | None]) -> Tower:
    exits: tuple[Exit, ...] = tuple(replace(place, cost=cost) for place, cost in zip(tower.exits, costs, strict=True))
    return replace(tower, policies=None, exits=exits)


@pytest.mark.parametrize(
    ("costs", "cost", "expected"),
    [
        ((0.3, 0.45, 0.8, 1.0), None, 1),  # nearest to half of the milliseconds
        ((0.3, 0.45, 0.8, 1.0), 0.9, 2),
        ((None, None, None, None), None, 0),  # depth 8 of 16 is half of the layers
        ((None, None, None, None), 1.0, 3),
    ],
)
def test_bundle_without_policies_has_one_exit_for_all(
    costs: Sequence[float | None], cost: float | None, expected: int, tower: Tower
) -> None:
    for policy in ("auto", "fixed"):
        assert choose_setting(without_policies(tower, costs), config(policy, cost)) == expected


def test_bundle_without_policies_refuses_those_that_it_would_need(tower: Tower) -> None:
    bare = without_policies(tower, (0.3, 0.5, 0.8, 1.0))
    with pytest.raises(UsageError, match=r"^remember\.policy is gate: this bundle has no policies, only fixed$"):
        choose_setting(bare, config("gate", None))


def test_norm_of_another_width_is_refused_before_anything_rides(
    bundle: Bundle, image: TowerRunner, invoke: Invoke, tmp_path: Path
) -> None:
    assert image.spec.predictor is not None
    path = tmp_path / image.spec.predictor.norm
    path.parent.mkdir()
    shutil.copy(bundle.folder / image.spec.predictor.norm, path)
    width = path.stat().st_size // 8
    Norm(np.zeros(width + 1, np.float32), np.ones(width + 1, np.float32)).write(path)
    said = f"{path} is for {width + 1} inputs, the first exit gives {width}: convert again"
    with pytest.raises(BundleError, match=f"^{re.escape(said)}$"):
        open_policy(image.spec, config("predict", None), tmp_path, invoke)
