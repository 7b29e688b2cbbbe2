"""A search among admitted items finds what a look at each of them does: sealed, in the tail, dead, few and many."""

from __future__ import annotations

import numpy as np
import pytest

from edge.memory.index.blocks import Block
from edge.memory.index.exact import Found
from edge.memory.index.partition import Partition
from edge.memory.index.sealed import Seal, close_seal, open_sealed, write_rows

DIMENSION, SCALE, SEALED, LATE = 8, 5.0, 6_000, 500


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Partition:
    """6,000 sealed rows, 500 that came later, and every tenth id is gone."""
    folder = tmp_path_factory.mktemp("admitted")
    rows = everything()
    sealed = rows.take(np.arange(SEALED))
    write_rows(folder / "work", [sealed], sealed.centre)
    seal = Seal(fingerprint="a", sequence=1, scale=SCALE, rows=SEALED, dimension=DIMENSION)
    close_seal(folder / "work", folder / "sealed", seal)
    made = Partition(SCALE, DIMENSION, open_sealed(folder / "sealed"))
    late = np.arange(SEALED, SEALED + LATE)
    made.add(rows.ids[late], rows.embeddings(late), rows.offsets[late])
    made.remove(rows.ids[::10])
    return made


def everything() -> Block:
    random = np.random.default_rng(7)
    count = SEALED + LATE
    embeddings = random.normal(size=(count, DIMENSION)).astype(np.float32)
    offsets = random.normal(size=count).astype(np.float32)
    return Block.of(np.arange(0, 2 * count, 2), embeddings, offsets, np.zeros(DIMENSION, np.float32))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 50])
def test_best_among_admitted_are_those_of_brute_force(share: float, count: int, partition: Partition) -> None:
    random = np.random.default_rng(int(1_000 * share))
    rows = everything()
    # Odd ids are items that are not at this exit.
    admitted = np.flatnonzero(random.random(2 * len(rows)) < share)
    query = random.normal(size=DIMENSION).astype(np.float32)
    alive = np.setdiff1d(np.flatnonzero(np.isin(rows.ids, admitted)), np.arange(0, len(rows), 10))
    expected = Found.of(rows, alive, query, SCALE).best(count)
    found = partition.search(query, count, admitted)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert partition.held(admitted) == len(alive)
