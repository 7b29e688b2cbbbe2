"""The anchored rule, against values worked out by hand and what must hold for any numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import (
    Exit,
    ImagePreprocess,
    Model,
    Policies,
    PolicySetting,
    Predictor,
    Segment,
    Tower,
    Variant,
)
from edge.items import Floats
from edge.policy import Rule, choose, leaves, penalties

COSTS = (0.25, 0.5, 1.0)  # of a tower of 8 layers: 2, 4 and 8 layers' worth
USUAL = (0.4, 0.5, 0.8)


def floats(*values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def rule(centre: float, stray: float) -> Rule:
    return Rule(floats(*COSTS), floats(*USUAL), 8, stray, centre)


@st.composite
def towers(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Rising costs of some exits, the last one 1, and their mean survival."""
    shares = draw(st.lists(st.integers(1, 99), min_size=1, max_size=8, unique=True))
    usual = draw(st.lists(st.floats(0, 1, width=32), min_size=len(shares) + 1, max_size=len(shares) + 1))
    return floats(*(share / 100 for share in sorted(shares)), 1.0), floats(*usual)


def predictions(exits: int) -> st.SearchStrategy[Floats]:
    row = st.lists(st.floats(0, 1, width=32), min_size=exits, max_size=exits)
    return st.lists(row, min_size=1, max_size=5).map(lambda rows: np.array(rows, dtype=np.float32))


def test_penalty_is_the_squared_distance_in_layers_less_what_stands_out() -> None:
    found = penalties(floats(USUAL, (0.5, 0.5, 0.7)), rule(centre=3.0, stray=10.0))
    # (2 - 3)^2 / 2, (4 - 3)^2 / 2, (8 - 3)^2 / 2; then 10 * 0.1 less at the first exit and more at the last.
    np.testing.assert_allclose(found, [[0.5, 0.5, 12.5], [-0.5, 0.5, 13.5]], atol=1e-5)


def test_item_strays_as_far_as_its_survival_stands_out() -> None:
    lost_early = floats((0.0, 0.5, 0.8))  # 0.4 less than usual at the first exit
    assert choose(lost_early, rule(centre=2.0, stray=0.0)).tolist() == [0]
    # The second exit is 2 layers from the centre, which costs 2: 0.4 * stray must be more.
    assert choose(lost_early, rule(centre=2.0, stray=4.0)).tolist() == [0]
    assert choose(lost_early, rule(centre=2.0, stray=6.0)).tolist() == [1]


def test_items_choose_each_for_itself() -> None:
    survival = floats(USUAL, (0.4, 0.9, 0.8), (0.4, 0.5, 1.0))
    assert choose(survival, rule(centre=2.0, stray=100.0)).tolist() == [0, 1, 2]


def test_of_equal_exits_the_shallowest_is_chosen() -> None:
    assert choose(floats(USUAL), rule(centre=3.0, stray=0.0)).tolist() == [0]


def test_gate_compares_this_exit_with_the_deeper_ones_alone() -> None:
    always = rule(centre=2.0, stray=0.0)
    assert leaves(floats(USUAL), always, 0).tolist() == [True]
    assert leaves(floats(USUAL[1:]), always, 1).tolist() == [True]  # the first exit would be better, but it is past
    ride = rule(centre=8.0, stray=0.0)
    assert leaves(floats(USUAL), ride, 0).tolist() == [False]
    assert leaves(floats(USUAL[1:]), ride, 1).tolist() == [False]
    assert leaves(floats(USUAL[2:]), ride, 2).tolist() == [True]


def test_no_items_choose_nothing() -> None:
    assert choose(np.zeros((0, 3), np.float32), rule(2.0, 1.0)).shape == (0,)
    assert leaves(np.zeros((0, 2), np.float32), rule(2.0, 1.0), 1).shape == (0,)


@given(towers().flatmap(lambda tower: st.tuples(st.just(tower), predictions(len(tower[0])))), st.floats(0, 12))
def test_without_stray_every_item_leaves_at_the_exit_nearest_to_the_centre(
    drawn: tuple[tuple[Floats, Floats], Floats], centre: float
) -> None:
    (costs, usual), survival = drawn
    found = choose(survival, Rule(costs, usual, 12, 0.0, centre))
    away = np.abs(12 * costs.astype(np.float64) - centre)
    assert len(set(found.tolist())) == 1
    assert away[found[0]] == pytest.approx(away.min(), abs=1e-4)


@given(
    towers().flatmap(lambda tower: st.tuples(st.just(tower), predictions(len(tower[0])))),
    st.floats(0, 100),
    st.lists(st.floats(-5, 20), min_size=2, max_size=2).map(sorted),
)
def test_no_item_leaves_earlier_when_the_knob_is_turned_up(
    drawn: tuple[tuple[Floats, Floats], Floats], stray: float, centres: list[float]
) -> None:
    (costs, usual), survival = drawn
    low, high = (Rule(costs, usual, 12, stray, centre) for centre in centres)
    if centres[1] - centres[0] > 1e-2:  # else float32 cannot tell the two apart
        assert (choose(survival, low) <= choose(survival, high)).all()


@given(towers().flatmap(lambda tower: st.tuples(st.just(tower), predictions(len(tower[0])))), st.floats(0, 100))
def test_knob_far_out_sends_everything_to_the_first_or_the_last_exit(
    drawn: tuple[tuple[Floats, Floats], Floats], stray: float
) -> None:
    (costs, usual), survival = drawn
    assert set(choose(survival, Rule(costs, usual, 12, stray, -1e4)).tolist()) == {0}
    assert set(choose(survival, Rule(costs, usual, 12, stray, 1e4)).tolist()) == {len(costs) - 1}


@given(
    towers().flatmap(lambda tower: st.tuples(st.just(tower), predictions(len(tower[0])))),
    st.floats(0, 100),
    st.floats(0, 12),
)
def test_gates_that_all_predict_the_same_leave_where_one_early_decision_would(
    drawn: tuple[tuple[Floats, Floats], Floats], stray: float, centre: float
) -> None:
    (costs, usual), survival = drawn
    made = Rule(costs, usual, 12, stray, centre)
    left = np.full(len(survival), -1)
    for number in range(len(costs)):
        left = np.where((left < 0) & leaves(survival[:, number:], made, number), number, left)
    np.testing.assert_array_equal(left, choose(survival, made))


def model(name: str) -> Model:
    return Model(variants=(Variant(path=PurePosixPath(name), format="float32", runtimes=("ai-edge-litert",)),))


@pytest.fixture
def tower() -> Tower:
    """Two exits, and a setting of two policies."""
    predict = PolicySetting(
        policy="predict", centre=3.0, cost=0.5, recall_at_1=0.2, recall_at_10=0.5, kept_at_10=0.9, exits=(0.5, 0.5)
    )
    settings = (replace(predict, policy="fixed", centre=2.0), predict)
    return Tower(
        modality="image",
        layers=4,
        preprocess=ImagePreprocess(kind="image", size=8, fit="squash", filter="bicubic", mean=0.0, scale=1.0),
        segments=(
            Segment(depth=2, input=(8, 8, 3), output=(4, 4, 6), model=model("a")),
            Segment(depth=4, input=(4, 4, 6), output=(2, 2, 9), model=model("b")),
        ),
        exits=(
            Exit(depth=2, segment=0, head=model("c"), cost=0.5),
            Exit(depth=4, segment=1, head=model("d"), cost=1.0),
        ),
        predictor=Predictor(model=model("e"), norm=PurePosixPath("f")),
        policies=Policies(default="predict", stray=60.0, survival=(0.5, 0.75), settings=settings),
    )


def test_rule_is_made_of_a_tower_and_a_setting(tower: Tower) -> None:
    assert tower.policies is not None
    made = Rule.of(tower, tower.policies.nearest("predict", 0.5))
    assert (made.layers, made.stray, made.centre) == (4, 60.0, 3.0)
    assert (made.costs.tolist(), made.survival.tolist()) == ([0.5, 1.0], [0.5, 0.75])
    assert made.costs.dtype == made.survival.dtype == np.float32


def test_fixed_never_strays(tower: Tower) -> None:
    assert tower.policies is not None
    made = Rule.of(tower, tower.policies.nearest("fixed", 0.5))
    assert made.stray == 0
    assert choose(floats((0.0, 1.0), (1.0, 0.0)), made).tolist() == [0, 0]


def test_tower_without_policies_has_no_rule(tower: Tower) -> None:
    assert tower.policies is not None
    bare = replace(tower, policies=None)
    with pytest.raises(ValueError, match=r"^the image tower has no policies$"):
        Rule.of(bare, tower.policies.settings[0])
