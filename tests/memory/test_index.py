"""One contract, over both indexes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.items import Floats
from edge.memory import AnnoyIndex, ExactIndex, Index, annoy_is_installed


@pytest.fixture(params=[ExactIndex, AnnoyIndex])
def kind(request: pytest.FixtureRequest) -> Any:
    if request.param is AnnoyIndex and not annoy_is_installed():
        pytest.skip('annoy is not installed: pip install "reminisce-edge[annoy]"')
    return request.param


def unit_rows(count: int, dimension: int = 32, seed: int = 7) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_each_row_is_nearest_to_itself(kind: Any) -> None:
    embeddings = unit_rows(200)
    index: Index = kind(embeddings)
    for row in range(0, 200, 20):
        rows, scores = index.search(embeddings[row], 3)
        assert rows[0] == row
        assert scores[0] == pytest.approx(1.0, abs=1e-6)


def test_scores_are_the_cosines_best_first(kind: Any) -> None:
    embeddings, query = unit_rows(200), unit_rows(1, seed=8)[0]
    rows, scores = kind(embeddings).search(query, 10)
    np.testing.assert_allclose(scores, embeddings[rows] @ query, atol=1e-6)
    assert np.all(np.diff(scores) <= 0)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


def test_no_row_is_found_twice_and_no_more_than_wanted(kind: Any) -> None:
    rows, scores = kind(unit_rows(200)).search(unit_rows(1, seed=8)[0], 10)
    assert len(rows) == len(scores) == len(set(rows.tolist())) == 10


def test_fewer_rows_than_wanted_are_all_found(kind: Any) -> None:
    rows, _ = kind(unit_rows(3)).search(unit_rows(1, seed=8)[0], 10)
    assert sorted(rows.tolist()) == [0, 1, 2]


def test_single_row_is_found(kind: Any) -> None:
    rows, _ = kind(unit_rows(1)).search(unit_rows(1, seed=8)[0], 5)
    assert rows.tolist() == [0]


def test_equal_cosines_come_in_the_order_of_the_rows(kind: Any) -> None:
    embeddings = np.repeat(unit_rows(1), 6, axis=0)
    rows, _ = kind(embeddings).search(embeddings[0], 4)
    assert rows.tolist() == [0, 1, 2, 3]


def test_query_against_everything_finds_the_rows_on_its_own_side_first(kind: Any) -> None:
    axis = np.eye(32, dtype=np.float32)[0]
    rows, scores = kind(np.stack([-axis, axis])).search(axis, 2)
    assert rows.tolist() == [1, 0]
    assert scores.tolist() == pytest.approx([1.0, -1.0])


def test_two_builds_give_the_same_answers(kind: Any) -> None:
    embeddings, queries = unit_rows(3_000), unit_rows(20, seed=8)
    one, other = kind(embeddings), kind(embeddings)
    for query in queries:
        np.testing.assert_array_equal(one.search(query, 10)[0], other.search(query, 10)[0])


def test_most_of_the_true_ten_nearest_are_found(kind: Any) -> None:
    embeddings, queries = unit_rows(3_000), unit_rows(50, seed=8)
    index = kind(embeddings)
    truth = np.argsort(-(queries @ embeddings.T), axis=1)[:, :10]
    found = [
        len(set(index.search(query, 10)[0].tolist()) & set(best)) for query, best in zip(queries, truth, strict=True)
    ]
    assert sum(found) / truth.size >= (1.0 if kind is ExactIndex else 0.8)  # random rows are the hardest there are
