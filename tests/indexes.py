"""An index over a real memory, and waiting for its builder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from edge.items import Floats
from edge.memory import Memory
from edge.memory.index import Limits, MemoryIndex
from edge.memory.index.blocks import Rows
from feeds import CountingFeed

DIMENSION = 24
SCALES = {3: 1.0, 6: 1.0, 12: 20.0}
SMALL = Limits(forest_from=1_500, shortest_tail=300, longest_tail=2_000)
_PATIENCE_S = 60


def unit_rows(count: int, seed: int = 1) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    unit: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@contextmanager
def index_over(
    memory: Memory, *, limits: Limits = SMALL, fingerprint: str = "a", feed: CountingFeed | None = None
) -> Iterator[MemoryIndex]:
    """The index of the memory's own folder."""
    folder = memory.folder / "index"
    with MemoryIndex(
        folder, "image", feed or memory.feed(), fingerprint=fingerprint, scales=SCALES, limits=limits
    ) as index:
        yield index


def settle(index: MemoryIndex) -> None:
    """Follow until nothing is due."""
    until = time.monotonic() + _PATIENCE_S
    index.follow()
    while index.builder_pid:
        assert time.monotonic() < until, "the builder does not end"
        time.sleep(0.01)
        index.follow()


def folders(memory: Memory) -> list[str]:
    return sorted(path.name for path in (memory.folder / "index").glob("*"))


def by_hand(memory: Memory, depth: int, query: Floats, count: int) -> Rows:
    """Item ids of the best rows in the database, best first."""
    (part,) = (part for part in memory.partitions() if part.depth == depth)
    score = SCALES[depth] * (part.embeddings @ query) + part.offsets
    return part.ids[np.lexsort((part.ids, -score))[:count]]
