"""The int8 scan finds exactly what looking at every row finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.items import Floats
from edge.memory.index.blocks import Block, Flags, Rows
from edge.memory.index.exact import Found, nearest

DIMENSION = 12
ROOT = Path(__file__).resolve().parents[2]
# A search in a process of its own; prints how many megabytes more of data it has then, filled or set aside.
CHILD = """
import numpy as np
from pathlib import Path
from edge.memory.index.blocks import Block
from edge.memory.index.exact import Found, nearest

def data():
    return int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) >> 10

rows = np.random.default_rng(0).normal(size=(3_000, 512)).astype(np.float32)
block = Block.of(np.arange(len(rows)), rows, np.zeros(len(rows), np.float32), rows.mean(axis=0))
before = data()
best = nearest(block, np.zeros(len(rows), bool), rows[7], 1.0, 5)
print(len(Found.of(block, best, rows[7], 1.0).ids), data() - before)
"""


def block_of(embeddings: Floats, offsets: Floats | None = None, centre: Floats | None = None) -> Block:
    count, dimension = embeddings.shape
    zeros = np.zeros(count, np.float32)
    middle = np.zeros(dimension, np.float32) if centre is None else centre
    return Block.of(np.arange(count), embeddings, zeros if offsets is None else offsets, middle)


def alive(block: Block) -> Flags:
    return np.zeros(len(block), dtype=bool)


def search(block: Block, query: Floats, scale: float, count: int, dead: Flags | None = None) -> Found:
    rows = nearest(block, alive(block) if dead is None else dead, query, scale, count)
    return Found.of(block, rows, query, scale).best(count)


def by_hand(block: Block, dead: Flags, query: Floats, scale: float, count: int) -> Rows:
    """Row numbers, best first, out of float64 products of the same float16 rows."""
    score = scale * (block.halves.astype(np.float64) @ query.astype(np.float64)) + block.offsets
    score[dead] = -np.inf
    return np.argsort(-score, kind="stable")[: min(count, len(block) - int(dead.sum()))]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 1_500),
    count=st.integers(1, 40),
    scale=st.sampled_from([1.0, 0.01, 20.0]),
    spread=st.sampled_from([0.0, 0.1, 5.0]),
    gap=st.sampled_from([0.0, 3.0]),
    dead_share=st.sampled_from([0.0, 0.3, 0.99, 1.0]),
)
def test_scan_equals_brute_force(
    seed: int, rows: int, count: int, scale: float, spread: float, gap: float, dead_share: float
) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(rows, DIMENSION)) + gap * np.eye(DIMENSION)[0]
    embeddings = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    query = random.normal(size=DIMENSION).astype(np.float32)
    block = block_of(embeddings, (spread * random.normal(size=rows)).astype(np.float32), embeddings.mean(axis=0))
    dead = random.random(rows) < dead_share
    found = search(block, query, scale, count, dead)
    expected = Found.of(block, by_hand(block, dead, query, scale, count), query, scale)
    # Two rows whose scores differ by less than float32 can tell may stand in either order.
    np.testing.assert_allclose(found.scores, expected.scores, rtol=2e-6, atol=2e-6 * scale)
    assert not dead[found.ids].any()
    assert len(set(found.ids.tolist())) == len(found.ids) == len(expected.ids)


def test_equal_rows_come_in_the_order_of_their_ids_wherever_they_stand() -> None:
    row = np.random.default_rng(3).normal(size=DIMENSION).astype(np.float32)
    block = block_of(np.repeat(row[None], 1_300, axis=0))
    found = search(block, row, 1.0, 700)
    assert found.ids.tolist() == list(range(700))
    assert len(set(found.scores.tolist())) == 1


def test_all_that_equal_the_last_answer_are_candidates() -> None:
    rows = np.eye(DIMENSION, dtype=np.float32)[[0] * 5 + [1] * 2_000]
    block = block_of(rows)
    found = nearest(block, alive(block), rows[0] * 2 + rows[-1], 1.0, 6)
    assert len(found) == len(rows)


def test_few_rows_are_scored_in_full() -> None:
    random = np.random.default_rng(5)
    embeddings = random.normal(size=(60_000, 64)).astype(np.float32)
    block = block_of(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    rows = nearest(block, alive(block), block.embeddings(np.array([7]))[0], 1.0, 10)
    assert 10 <= len(rows) < 600


def test_an_offset_outweighs_a_cosine_as_far_as_the_scale_says() -> None:
    axes = np.eye(DIMENSION, dtype=np.float32)
    block = block_of(axes[:2], np.array([0.0, 3.0], np.float32))
    assert search(block, axes[0], 1.0, 2).ids.tolist() == [1, 0]
    assert search(block, axes[0], 4.0, 2).ids.tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_rows_that_are_their_centre_have_no_codes_and_are_found(value: float) -> None:
    rows = np.full((20, DIMENSION), value, np.float32)
    block = block_of(rows, centre=rows[0])
    assert not block.codes.any()
    assert search(block, rows[0], 1.0, 3).ids.tolist() == [0, 1, 2]


def test_nothing_is_found_in_nothing() -> None:
    block = Block.empty(DIMENSION)
    found = search(block, np.ones(DIMENSION, np.float32), 1.0, 5)
    assert (len(found.ids), len(found.cosines), len(found.scores)) == (0, 0, 0)


def test_codes_are_within_half_a_step_of_the_row() -> None:
    random = np.random.default_rng(11)
    embeddings = random.normal(size=(500, DIMENSION)).astype(np.float32)
    block = block_of(embeddings, centre=embeddings.mean(axis=0))
    away = block.embeddings(np.arange(500)) - block.centre - block.codes * block.steps[:, None]
    assert (np.abs(away) <= block.steps[:, None] * 0.5001).all()


def test_search_has_blas_set_no_memory_aside() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environ, capture_output=True, text=True, check=True)
    found, more_mb = map(int, done.stdout.split())
    assert found >= 5
    assert more_mb < 16  # BLAS takes 32 at a time
