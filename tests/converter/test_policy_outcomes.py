"""What assignments of items to exits cost and find, against a slow search; gains against the analytic error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.labels import Rows, rank_of_own
from converter.policies import (
    CUTS,
    Gain,
    Hits,
    Outcome,
    Scene,
    at_cost,
    fixed,
    gain,
    kept_at_least,
    outcome,
    search,
    shuffled,
    sweep,
)
from converter.policies import predicted as by_prediction
from edge.items import Floats
from galleries import gallery

COSTS = np.array([0.25, 0.5, 1.0], dtype=np.float32)


def scene_of(seed: int, items: int = 120) -> Scene:
    scored = gallery(seed, items=items)
    return Scene(np.stack([scored.cosines(exit_) for exit_ in range(3)]), scored.owners, COSTS, 8)


def slow_search(scene: Scene, exits: Rows, pool: int, cuts: tuple[int, ...] = CUTS) -> list[list[bool]]:
    """Query by query: sort by what is stored, take the pool, sort that by the last exit."""
    hits = []
    for query, owner in enumerate(scene.owners):
        stored = {item: float(scene.logits[exit_, query, item]) for item, exit_ in enumerate(exits)}
        chosen = sorted(stored, key=lambda item, stored=stored: -stored[item])[:pool]  # type: ignore[misc]
        final = sorted(chosen, key=lambda item, query=query: -float(scene.logits[-1, query, item]))  # type: ignore[misc]
        hits.append([int(owner) in final[:cut] for cut in cuts])
    return hits


def made(cost: float, hits: list[list[bool]] | Hits, exits: Rows | None = None) -> Outcome:
    return Outcome("fixed", 1.0, cost, np.zeros(1, np.int64) if exits is None else exits, np.array(hits, dtype=bool))


def drawn(seed: int, share: float, queries: int) -> Hits:
    """At 1 by that chance, at 5 always, at 10 the opposite of at 1: no hits that a search could give."""
    first = np.random.default_rng(seed).random(queries) < share
    return np.stack([first, np.ones(queries, dtype=bool), ~first], axis=1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_search_finds_what_a_slow_search_finds(seed: int, pool: int) -> None:
    scene = scene_of(seed, items=30)
    exits = np.random.default_rng(seed).integers(0, 3, 30)
    assert search(scene, exits, pool).tolist() == slow_search(scene, exits, pool)


@pytest.mark.parametrize("pool", [120, 500])
def test_pool_as_large_as_the_gallery_ranks_everything_whatever_left_where(pool: int) -> None:
    scene = scene_of(1)
    full = rank_of_own(scene.logits[-1], scene.owners)[:, None] < np.array(CUTS)
    for exits in (np.zeros(120, np.int64), np.arange(120) % 3):
        np.testing.assert_array_equal(search(scene, exits, pool), full)


def test_fixed_at_the_last_exit_keeps_everything() -> None:
    scene = scene_of(2)
    *early, last = fixed(scene, pool=20)
    full = rank_of_own(scene.logits[-1], scene.owners)[:, None] < np.array(CUTS)
    np.testing.assert_array_equal(last.hits, full)
    assert last.cost == 1.0
    assert all(one.recall[2] < last.recall[2] - 0.01 for one in early)


def test_fixed_exits_are_named_by_their_cost_in_layers() -> None:
    found = fixed(scene_of(3))
    assert [(one.policy, one.centre, one.cost) for one in found] == [
        ("fixed", 2, 0.25),
        ("fixed", 4, 0.5),
        ("fixed", 8, 1),
    ]
    assert [one.histogram(3) for one in found] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_score_that_is_not_a_number_finds_nothing() -> None:
    scene = scene_of(4, items=30)
    scene.logits[:, 0, :] = np.nan
    assert not search(scene, np.zeros(30, np.int64), 30)[0].any()


def test_equal_scores_count_against_the_item_that_is_sought() -> None:
    scene = Scene(np.ones((3, 1, 4), dtype=np.float32), np.array([2]), COSTS, 8)
    assert search(scene, np.full(4, 2), 4).tolist() == [[False, True, True]]


def test_cost_is_the_mean_over_items_and_recall_over_queries() -> None:
    scene = scene_of(5, items=40)
    found = outcome(scene, "gate", 3.5, np.repeat([0, 2], 20), pool=10)
    assert found.cost == pytest.approx(0.625)
    np.testing.assert_allclose(found.recall, found.hits.mean(0))
    assert found.recall[0] <= found.recall[1] <= found.recall[2]
    assert found.histogram(3) == (0.5, 0.0, 0.5)


def test_knob_buys_recall_with_cost() -> None:
    scene = scene_of(6)
    known = np.random.default_rng(0).random((120, 3)).astype(np.float32)
    found = sweep(scene, "predict", known.mean(0), 1.0, by_prediction(known), [2.0, 4.0, 8.0], pool=15)
    assert [one.centre for one in found] == [2.0, 4.0, 8.0]
    costs, recalls = [one.cost for one in found], [one.recall[2] for one in found]
    assert costs == sorted(costs)
    assert recalls == sorted(recalls)
    assert {one.policy for one in found} == {"predict"}


def test_fold_flatters_an_early_exit_unless_pool_and_cuts_are_the_same_part_of_it() -> None:
    whole = gallery(seed=9, items=1000)
    scene = Scene(np.stack([whole.cosines(e) for e in range(3)]), whole.owners, COSTS, 8)
    asking = [scene.owners // 250 == number for number in range(4)]
    folds = [
        Scene(scene.logits[:, who, 250 * n : 250 * n + 250], scene.owners[who] % 250, COSTS, 8)
        for n, who in enumerate(asking)
    ]
    kept = _kept_at_10([scene])
    assert _kept_at_10(folds) > kept + 0.1
    assert _kept_at_10([replace(fold, gallery=1000) for fold in folds]) == pytest.approx(kept, abs=0.03)


def _kept_at_10(scenes: list[Scene]) -> float:
    """Of full depth's, by the first exit."""
    found = [fixed(scene) for scene in scenes]
    return float(sum(first.hits[:, 2].sum() for first, *_ in found) / sum(full.hits[:, 2].sum() for *_, full in found))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_gallery_of_twice_the_items_halves_pool_and_cuts(seed: int, pool: int) -> None:
    scene = scene_of(seed, items=30)
    exits = np.random.default_rng(seed).integers(0, 3, 30)
    found = search(replace(scene, gallery=60), exits, 2 * pool)
    for column, cut in enumerate((1, 3, 5)):  # of 1, 5 and 10 of 60: ranks below 0.5, 2.5 and 5
        assert found[:, column].tolist() == [hit[0] for hit in slow_search(scene, exits, pool, (cut,))]


def test_queries_that_judge_alone_are_meant_among_the_same_gallery() -> None:
    scene = replace(scene_of(2), gallery=1000)
    assert scene.restricted(np.arange(len(scene.owners)) % 2 == 0).gallery == 1000
    assert (scene_of(2).scale, scene.scale) == (1.0, 0.12)


def test_what_is_kept_at_least_is_what_19_of_20_samples_keep() -> None:
    held = []
    for seed in range(200):
        full = drawn(seed, 0.2, 400)
        found = full & drawn(seed + 1000, 0.1, 400)
        least = kept_at_least(made(0.5, found), made(1.0, full), np.arange(400), seed)
        assert least < found[:, 2].sum() / full[:, 2].sum()
        held.append(least <= 0.9)
    assert 0.9 <= np.mean(held) <= 0.99


def test_full_depth_keeps_all_of_itself_for_certain_and_where_it_finds_nothing_nothing_is_kept() -> None:
    full, nothing = made(1.0, drawn(1, 0.3, 100)), made(1.0, np.zeros((100, 3), dtype=bool))
    assert kept_at_least(full, full, np.arange(100), 0) == 1.0
    assert kept_at_least(full, nothing, np.arange(100), 0) == 0.0
    assert kept_at_least(nothing, nothing, np.arange(100), 0) == 0.0


def test_queries_of_one_item_are_drawn_together() -> None:
    # Ten queries an item that agree say no more than one does.
    full = np.ones((40, 3), dtype=bool)
    found = full & drawn(3, 0.1, 40)
    owners = np.repeat(np.arange(40), 10)
    many = kept_at_least(made(0.5, np.repeat(found, 10, 0)), made(1.0, np.repeat(full, 10, 0)), owners, 0)
    assert many == kept_at_least(made(0.5, found), made(1.0, full), np.arange(40), 0)


def test_between_two_exits_the_fixed_exit_finds_the_mean_by_distance() -> None:
    base = [made(0.2, [[False, False, True]]), made(0.6, [[False, True, True]]), made(1.0, [[True, True, True]])]
    np.testing.assert_allclose(at_cost(base, 0.2), [[0, 0, 1]])
    np.testing.assert_allclose(at_cost(base, 0.3), [[0, 0.25, 1]], atol=1e-6)
    np.testing.assert_allclose(at_cost(base, 0.6), [[0, 1, 1]])
    np.testing.assert_allclose(at_cost(base, 0.9), [[0.75, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(at_cost(base, 1.0), [[1, 1, 1]])


@pytest.mark.parametrize("cost", [0.0, 0.5, 2.0])
def test_beyond_its_ends_the_fixed_exit_is_the_nearest(cost: float) -> None:
    base = [made(0.3, [[False, False, True]]), made(0.4, [[True, True, True]])]
    expected = base[0] if cost < 0.3 else base[1]
    np.testing.assert_array_equal(at_cost(base, cost), expected.hits)
    np.testing.assert_array_equal(at_cost(base[:1], cost), base[0].hits)


def test_equal_outcomes_gain_nothing_for_certain() -> None:
    base = fixed(scene_of(7), pool=20)
    found = gain(base, base, scene_of(7).owners, seed=0)
    assert found == Gain(0, 0, 0, 0)
    assert not found.wins


def test_dealing_between_exits_that_see_the_same_gains_nothing() -> None:
    scored = gallery(seed=8, items=300)
    scene = Scene(np.stack([scored.cosines(1)] * 2 + [scored.cosines(2)]), scored.owners, COSTS, 8)
    dealt = outcome(scene, "random", 3.0, shuffled(np.repeat([0, 1], 150), 0), pool=20)
    assert gain([dealt], fixed(scene, pool=20), scene.owners, seed=0) == Gain(0, 0, 0, 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_error_of_one_query_an_item_is_the_standard_error_of_the_mean(seed: int) -> None:
    better, base = drawn(seed, 0.6, 500), drawn(seed + 100, 0.5, 500)
    found = gain([made(0.5, better)], [made(0.5, base)], np.arange(500), seed)
    differences = better[:, 0].astype(float) - base[:, 0]
    assert found.at_1 == pytest.approx(differences.mean())
    assert found.error_1 == pytest.approx(differences.std() / 500**0.5, rel=0.15)


def test_error_counts_items_not_their_queries() -> None:
    counts = np.random.default_rng(0).integers(1, 6, 300)
    owners = np.repeat(np.arange(300), counts)
    better, base = drawn(1, 0.1, 300)[owners], drawn(2, 0.9, 300)[owners]  # all queries of an item fare the same
    found = gain([made(0.5, better)], [made(0.5, base)], owners, seed=0)
    differences = better[:, 2].astype(float) - base[:, 2]
    sums = np.bincount(owners, weights=differences - differences.mean())
    assert found.at_10 == pytest.approx(differences.mean())
    assert found.error_10 == pytest.approx(np.sqrt((sums**2).sum()) / len(owners), rel=0.15)
    assert found.error_10 > 1.3 * differences.std() / len(owners) ** 0.5


def test_gain_is_paired_so_that_what_both_find_adds_no_error() -> None:
    base = drawn(3, 0.5, 400)
    better = base.copy()
    better[:20] = True  # at 10, too
    found = gain([made(0.5, better)], [made(0.5, base)], np.arange(400), seed=0)
    assert 0 < found.error_10 < 0.012  # unpaired: 0.035


def test_gain_of_several_settings_is_their_mean_each_against_its_own_cost() -> None:
    base = [made(0.2, [[False] * 3] * 4), made(1.0, [[True] * 3] * 4)]
    half: Floats = np.array([[True] * 3] * 2 + [[False] * 3] * 2)
    found = gain([made(0.2, half.astype(bool)), made(0.6, half.astype(bool))], base, np.arange(4), seed=0)
    np.testing.assert_allclose((found.at_1, found.at_10), 0.25)


@pytest.mark.parametrize(
    ("at_1", "error_1", "at_10", "error_10", "wins"),
    [
        (0.0, 0.01, 0.021, 0.01, True),
        (0.0, 0.01, 0.019, 0.01, False),
        (0.0, 0.01, 0.020, 0.01, False),
        (-0.019, 0.01, 0.05, 0.01, True),
        (-0.021, 0.01, 0.05, 0.01, False),
        (0.0, 0.0, 0.05, 0.01, True),
        (0.05, 0.01, -0.01, 0.01, False),
        (0.0, 0.0, 0.0, 0.0, False),
    ],
)
def test_policy_wins_by_more_than_two_standard_errors_at_10_and_no_such_loss_at_1(
    at_1: float, error_1: float, at_10: float, error_10: float, *, wins: bool
) -> None:
    assert Gain(at_1, error_1, at_10, error_10).wins is wins
