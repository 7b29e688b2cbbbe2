"""Ranks, survival and first exits, against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.labels import Ranks, Rows, Scored, first_exits, query_ranks, query_ranks_of, rank_of_own, survival
from edge.items import Floats
from galleries import gallery


@st.composite
def scores_with_ties(draw: st.DrawFn) -> tuple[Floats, Rows]:
    """Few values, so that equal scores are the rule."""
    items, queries = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    row = st.lists(st.integers(-2, 2), min_size=items, max_size=items)
    scores = draw(st.lists(row, min_size=queries, max_size=queries))
    owners = draw(st.lists(st.integers(0, items - 1), min_size=queries, max_size=queries))
    return np.array(scores, dtype=np.float32), np.array(owners, dtype=np.int64)


@st.composite
def ranked(draw: st.DrawFn) -> tuple[Ranks, Rows, int]:
    """Ranks of some queries at some exits among a gallery, some items without a query."""
    items, exits = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    owners = draw(st.lists(st.integers(0, items - 1), min_size=1, max_size=12))
    rank = st.lists(st.integers(0, items - 1), min_size=len(owners), max_size=len(owners))
    ranks = draw(st.lists(rank, min_size=exits, max_size=exits))
    return np.array(ranks, dtype=np.int32), np.array(owners, dtype=np.int64), items


def ranks(*rows: list[int]) -> Ranks:
    return np.array(rows, dtype=np.int32)


def rows(*values: int) -> Rows:
    return np.array(values, dtype=np.int64)


def found_by_half(case: tuple[Ranks, Rows, int], survive: int) -> list[int]:
    """Item by item, exit by exit, as the rule is told."""
    ranks, owners, items = case
    exits = []
    for item in range(items):
        mine = [row[owners == item] for row in ranks]
        enough = [e for e, own in enumerate(mine) if len(own) and (own * 1000 < survive * items).mean() >= 0.5]
        exits.append(enough[0] if enough else 0)
    return exits


@given(scores_with_ties())
def test_rank_counts_the_other_items_that_score_as_much_or_more(case: tuple[Floats, Rows]) -> None:
    scores, owners = case
    expected = [
        sum(row[item] >= row[own] for item in range(len(row)) if item != own)
        for row, own in zip(scores, owners, strict=True)
    ]
    assert rank_of_own(scores, owners).tolist() == expected


def test_item_whose_score_is_not_a_number_is_found_last() -> None:
    scores = np.array([[0.5, np.nan, 0.1], [np.nan, 0.5, 0.1]], dtype=np.float32)
    assert rank_of_own(scores, rows(1, 1)).tolist() == [2, 1]


def test_unknown_queries_are_left_out_and_the_others_keep_their_items() -> None:
    scored = gallery(seed=1, items=40)
    assert 40 < len(scored.owners) < 120
    made, place = query_ranks(scored), 0
    for item, queries in enumerate(scored.known):
        for number in np.flatnonzero(queries):
            assert scored.owners[place] == item
            for exit_ in range(3):
                cosines = scored.items[exit_] @ scored.queries[exit_, item, number]
                assert made[exit_, place] == (np.delete(cosines, item) >= cosines[item] - 1e-7).sum()
            place += 1
    assert made.shape == (3, place)


def test_ranks_of_scores_are_those_of_the_items_that_made_them() -> None:
    scored = gallery(seed=2, items=30)
    scores = np.stack([scored.cosines(exit_) for exit_ in range(3)])
    np.testing.assert_array_equal(query_ranks_of(scores, scored.owners), query_ranks(scored))


def test_deeper_exits_find_more_of_a_gallery_that_they_read_better() -> None:
    scored = gallery(seed=3)
    known = survival(query_ranks(scored), scored.owners, 200, survive=20)
    assert (np.diff(known.mean(0)) > 0.1).all()
    assert np.bincount(first_exits(query_ranks(scored), scored.owners, 200, 20)).min() > 0


@pytest.mark.parametrize(("items", "last_that_survives"), [(1000, 19), (500, 9), (2000, 39), (250, 4), (10, 0)])
def test_surviving_means_the_best_20_of_1000(items: int, last_that_survives: int) -> None:
    within = ranks([last_that_survives, last_that_survives + 1])
    assert survival(within, rows(0, 1), items, 20)[:2].tolist() == [[1.0], [0.0]]


def test_survival_is_the_share_of_the_queries_that_an_item_has() -> None:
    owners = rows(0, 0, 0, 0, 1, 2, 2)
    shallow, deep = [0, 900, 900, 900, 0, 900, 0], [0, 0, 0, 900, 0, 900, 900]
    known = survival(ranks(shallow, deep), owners, 1000, 20)
    assert known[:3].tolist() == [[0.25, 0.75], [1, 1], [0.5, 0]]
    assert known.dtype == np.float32


def test_item_without_queries_gets_the_mean_of_the_others_and_leaves_at_the_first_exit() -> None:
    found = ranks([0, 900], [0, 0])
    assert survival(found, rows(0, 2), 1000, 20)[:3].tolist() == [[1, 1], [0.5, 1], [0, 1]]
    assert first_exits(found, rows(0, 2), 1000, 20)[:3].tolist() == [0, 0, 1]


def test_hopeless_item_leaves_at_the_first_exit() -> None:
    assert first_exits(ranks([900], [900], [21]), rows(0), 1000, 20)[0] == 0


def test_item_that_a_deeper_exit_loses_again_leaves_where_it_was_found() -> None:
    assert first_exits(ranks([900], [3], [900]), rows(0), 1000, 20)[0] == 1


@settings(deadline=None)
@given(ranked(), st.integers(1, 1000))
def test_first_exit_is_the_one_where_half_of_the_queries_find_the_item(
    case: tuple[Ranks, Rows, int], survive: int
) -> None:
    assert first_exits(*case, survive).tolist() == found_by_half(case, survive)


@given(ranked())
def test_survival_is_a_share_and_a_wider_door_never_lets_fewer_in(case: tuple[Ranks, Rows, int]) -> None:
    narrow, wide = (survival(*case, survive) for survive in (20, 300))
    assert ((narrow >= 0) & (narrow <= wide) & (wide <= 1)).all()


def test_scored_queries_of_an_exit_are_in_the_order_of_their_owners() -> None:
    scored = Scored(
        items=np.zeros((1, 2, 1), dtype=np.float32),
        queries=np.array([[[[1], [2]], [[3], [4]]]], dtype=np.float32),
        known=np.array([[False, True], [True, True]]),
        numbers=rows(7, 9),
    )
    assert scored.owners.tolist() == [0, 1, 1]
    assert scored.asked(0).ravel().tolist() == [2, 3, 4]
