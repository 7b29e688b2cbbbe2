"""Who leaves where: one early decision, gates, chance, the split oracle; and the check that a policy decides at all."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.labels import Rows, query_ranks, survival
from converter.policies import (
    TOLD,
    CollapseError,
    Hits,
    Outcome,
    Scene,
    check_not_collapsed,
    collapsed,
    gain,
    gated,
    outcome,
    predicted,
    shuffled,
    split_oracle,
    sweep,
)
from converter.policies import fixed as at_fixed_exits
from edge.errors import ReminisceError
from edge.items import Floats
from edge.policy import Rule, penalties
from galleries import gallery

COSTS = np.array([0.25, 0.5, 1.0], dtype=np.float32)
USUAL = np.array([0.4, 0.5, 0.8], dtype=np.float32)


def rows(*values: int) -> Rows:
    return np.array(values, dtype=np.int64)


def floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def rule(centre: float, stray: float = 60.0) -> Rule:
    return Rule(COSTS, USUAL, 8, stray, centre)


def left_at(exits: Rows, cost: float) -> Outcome:
    return Outcome("gate", 4.0, cost, exits, np.zeros((1, 3), dtype=bool))


@st.composite
def owned(draw: st.DrawFn) -> tuple[Rows, int]:
    """Queries of some items in any order, some items without one."""
    items = draw(st.integers(1, 8))
    owners = draw(st.lists(st.integers(0, items - 1), min_size=1, max_size=40))
    return np.array(owners, dtype=np.int64), items


def test_early_decision_is_the_anchored_rule_item_by_item() -> None:
    known = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    by_hand = [min(range(3), key=lambda e, item=item: penalties(item[None], rule(4.0))[0, e]) for item in known]  # type: ignore[misc]
    assert predicted(known)(rule(4.0)).tolist() == by_hand
    assert len(set(by_hand)) == 3


def test_item_leaves_at_the_first_gate_that_says_so_and_at_the_end_at_the_latest() -> None:
    random = np.random.default_rng(1)
    known = [random.random((80, exits)).astype(np.float32) for exits in (3, 2, 1)]
    expected = []
    for item in range(80):
        for exit_, here in enumerate(known):
            if penalties(here[item : item + 1], rule(5.0), exit_)[0].argmin() == 0:
                expected.append(exit_)
                break
    found = gated(known)(rule(5.0))
    assert found.tolist() == expected
    assert set(expected) == {0, 1, 2}


def test_gate_that_was_passed_is_not_asked_again() -> None:
    # By the first gate the item must go on, by the second it stands out there; the third would not have it earlier.
    known = [floats([[0.0, 0.5, 0.8]]), floats([[0.9, 0.8]]), floats([[0.0]])]
    assert gated(known)(rule(3.0)).tolist() == [1]


def test_gates_that_know_the_same_as_the_predictor_decide_the_same() -> None:
    known = np.random.default_rng(2).random((200, 3)).astype(np.float32)
    np.testing.assert_array_equal(gated([known, known[:, 1:], known[:, 2:]])(rule(4.0)), predicted(known)(rule(4.0)))


def test_tower_of_one_exit_has_everything_leave_there() -> None:
    only = Rule(floats([1.0]), floats([0.5]), 8, 60.0, 2.0)
    assert gated([floats([[0.1], [0.9]])])(only).tolist() == [0, 0]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_chance_keeps_the_histogram(exits: list[int], seed: int) -> None:
    dealt = shuffled(rows(*exits), seed)
    assert sorted(dealt.tolist()) == sorted(exits)
    np.testing.assert_array_equal(shuffled(rows(*exits), seed), dealt)


def test_chance_deals_anew() -> None:
    exits = np.arange(100) % 3
    assert 0.2 < (shuffled(exits, 0) == exits).mean() < 0.5


@pytest.mark.parametrize(
    ("at_one_exit", "of_one_label", "expected"),
    [(96, 79, True), (95, 79, False), (96, 80, False), (100, 34, True), (50, 50, False), (100, 100, False)],
)
def test_policy_collapses_where_it_sends_more_than_95_percent_to_one_exit_while_labels_spread(
    at_one_exit: int, of_one_label: int, *, expected: bool
) -> None:
    exits = np.repeat([2, 1], [at_one_exit, 100 - at_one_exit])
    labels = np.repeat(
        [0, 1, 2], [of_one_label, (100 - of_one_label) // 2, 100 - of_one_label - (100 - of_one_label) // 2]
    )
    assert collapsed(exits, labels) is expected


def test_collapse_names_policy_share_depth_and_what_to_change() -> None:
    labels = np.arange(100) % 3
    outcomes = [left_at(np.zeros(100, np.int64), 0.25), left_at(np.full(100, 2), 0.9)]
    outcomes.insert(1, left_at(np.repeat([1, 0], [98, 2]), 0.6))
    with pytest.raises(CollapseError) as raised:
        check_not_collapsed("gate", outcomes, labels, (3, 5, 12))
    assert isinstance(raised.value, ReminisceError)
    for part in (r"policy gate", r"98%", r"depth 5\b", r"34%", r"raise predict\.stray or predict\.epochs"):
        assert re.search(part, str(raised.value)), part


def test_policy_is_judged_at_its_middling_cost_not_at_the_ends_of_the_knob() -> None:
    ends = [*(left_at(np.zeros(90, np.int64), cost) for cost in (0.25, 0.5)), left_at(np.full(90, 2), 1.0)]
    spread = left_at(np.arange(90) % 3, 0.58)
    check_not_collapsed("gate", [*ends[:2], spread, ends[2]], np.arange(90) % 3, (3, 5, 12))
    with pytest.raises(CollapseError):
        check_not_collapsed("gate", ends, np.arange(90) % 3, (3, 5, 12))


@pytest.mark.parametrize(("queries", "told"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (9, 3)])
def test_up_to_three_queries_are_told_and_of_two_or_more_one_judges(queries: int, told: int) -> None:
    owners = np.zeros(queries, dtype=np.int64)
    _, judging = split_oracle(np.zeros((2, queries), np.int32), owners, 1, 20, seed=0)
    assert (~judging).sum() == told


@settings(deadline=None)
@given(owned(), st.integers(0, 1000))
def test_told_and_judging_queries_split_every_item(case: tuple[Rows, int], seed: int) -> None:
    owners, items = case
    _, judging = split_oracle(np.zeros((1, len(owners)), np.int32), owners, items, 20, seed)
    counts, told = np.bincount(owners, minlength=items), np.bincount(owners[~judging], minlength=items)
    assert (told == np.minimum(counts, np.clip(counts - 1, 1, TOLD))).all()


@settings(deadline=None)
@given(owned(), st.integers(0, 1000))
def test_oracle_knows_nothing_of_the_queries_that_judge_it(case: tuple[Rows, int], seed: int) -> None:
    owners, items = case
    ranks = np.random.default_rng(seed).integers(0, 2, (3, len(owners))).astype(np.int32) * 999
    known, judging = split_oracle(ranks, owners, items, 20, seed)
    changed = np.where(judging, 999 - ranks, ranks)
    again, same = split_oracle(changed, owners, items, 20, seed)
    np.testing.assert_array_equal(again, known)
    np.testing.assert_array_equal(same, judging)
    np.testing.assert_array_equal(known, survival(ranks[:, ~judging], owners[~judging], items, 20))


def test_queries_that_are_told_are_drawn_by_seed() -> None:
    owners = np.repeat(np.arange(100), 5)
    masks = [split_oracle(np.zeros((1, 500), np.int32), owners, 100, 20, seed)[1].reshape(100, 5) for seed in (0, 1)]
    assert (masks[0] != masks[1]).any()
    np.testing.assert_allclose(masks[0].mean(0), [0.4] * 5, atol=0.15)  # not always the first three


def compared(scene: Scene, known: Floats) -> float:
    """Gain at 10 of deciding by survival, over fixed exits, both on that scene."""
    found = sweep(scene, "oracle", known.mean(0), 60.0, predicted(known), [3.0, 4.0, 5.0], pool=20)
    return gain(found, at_fixed_exits(scene, pool=20), scene.owners, seed=0).at_10


def test_split_oracle_gains_but_less_than_who_is_judged_by_what_was_told() -> None:
    scored = gallery(seed=11, items=400, most=5)
    scene = Scene(np.stack([scored.cosines(exit_) for exit_ in range(3)]), scored.owners, COSTS, 8)
    ranks = query_ranks(scored)
    known, judging = split_oracle(ranks, scored.owners, 400, 30, seed=0)
    restricted: Hits = judging
    honest = compared(scene.restricted(restricted), known)
    flattered = compared(scene.restricted(~restricted), known)
    assert 0.02 < honest < flattered - 0.02


def test_restricted_scene_asks_fewer_queries_of_the_same_items() -> None:
    scored = gallery(seed=12, items=60)
    scene = Scene(np.stack([scored.cosines(exit_) for exit_ in range(3)]), scored.owners, COSTS, 8)
    judging, exits = np.arange(len(scored.owners)) % 3 == 0, np.arange(60) % 3
    whole, part = (outcome(one, "x", 1.0, exits, pool=10) for one in (scene, scene.restricted(judging)))
    np.testing.assert_array_equal(part.hits, whole.hits[judging])
    assert part.cost == whole.cost


def test_without_straying_everything_leaves_at_the_exit_nearest_to_the_knob() -> None:
    known = np.random.default_rng(3).random((20, 3)).astype(np.float32)
    for centre, exit_ in ((0.0, 0), (2.9, 0), (3.1, 1), (5.9, 1), (6.1, 2), (8.0, 2)):
        decide = predicted(known)
        assert set(decide(replace(rule(centre), stray=0.0)).tolist()) == {exit_}
