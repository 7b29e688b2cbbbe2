"""The split oracle never judges an item by the queries that chose its exit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.steps.judged import Judged
from edge.policy import Rule

pytestmark = pytest.mark.convert

EXITS, ITEMS, WIDTH = 3, 40, 8
COSTS = (0.25, 0.5, 1.0)


def judged(captions: int) -> Judged:
    """Items whose queries stand the closer to them, the deeper the exit."""
    chance = np.random.default_rng(0)
    items = chance.standard_normal((EXITS, ITEMS, WIDTH)).astype(np.float32)
    owners = np.repeat(np.arange(ITEMS), captions)
    noise = chance.standard_normal((EXITS, len(owners), WIDTH)).astype(np.float32)
    queries = items[:, owners] + noise * np.array([2, 1, 0.1], dtype=np.float32)[:, None, None]
    arrays = {
        "items": items,
        "queries": queries,
        "bank": np.empty((EXITS, 0, WIDTH), dtype=np.float32),
        "owners": owners,
        "pooled": items[0],
    }
    return Judged(arrays, COSTS, 12)


@pytest.mark.parametrize(("captions", "left"), [(1, 0), (2, 1), (3, 1), (5, 2)])
def test_oracle_is_told_three_of_five_queries_and_judged_on_the_others(captions: int, left: int) -> None:
    whole = judged(captions)
    scene, _ = whole.oracle(whole.raw, survive=20, seed=0)
    assert np.bincount(scene.owners, minlength=ITEMS).tolist() == [left] * ITEMS
    assert scene.logits.shape == (EXITS, left * ITEMS, ITEMS)


def test_oracle_decides_for_every_item_and_the_same_way_for_a_seed() -> None:
    whole = judged(2)
    rule = Rule(np.array(COSTS, dtype=np.float32), np.full(EXITS, 0.5, dtype=np.float32), 12, 60.0, 6.0)
    exits = [whole.oracle(whole.raw, survive=20, seed=seed)[1](rule).tolist() for seed in (0, 0, 1)]
    assert len(exits[0]) == ITEMS
    assert exits[0] == exits[1] != exits[2]
    assert len(set(exits[0])) > 1
