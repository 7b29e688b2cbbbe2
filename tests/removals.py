"""A memory whose index seals ten rows, what its database lists of what was removed, and index files that come back."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np

from edge.items import Selection
from edge.memory import Memory, MemoryIndex, Origin
from edge.memory.index import Limits
from indexes import DIMENSION, SCALES

LONGEST_TAIL = 60
_LIMITS = Limits(forest_from=10**9, shortest_tail=10, longest_tail=LONGEST_TAIL)
_ANY = np.eye(DIMENSION, dtype=np.float32)[0]


def open_index(memory: Memory, origin: Origin | None = None, tower: str = "image") -> MemoryIndex:
    """The index of the memory's own bundle, or of another."""
    with patch("edge.memory.memory.IndexLimits", lambda forest_from: _LIMITS):  # noqa: ARG005 - called by its name
        if origin is None:
            return memory.open_index(tower, SCALES, 10**9)
        return memory.open_earlier_index(origin, tower, SCALES, 10**9)


def found(index: MemoryIndex) -> list[int]:
    """The ids of all that can be found, at whatever exit, rising."""
    return sorted(item for depth in index.depths for item in index.search(depth, _ANY, 10_000).ids.tolist())


def listed(memory: Memory, model: int = 1) -> int:
    """How much the list of one bundle has."""
    (count,) = memory._rows.execute("SELECT count(*) FROM removals WHERE model = ?", (model,)).fetchone()
    return int(count)


def erase(memory: Memory, *items: int) -> None:
    """Forget items that `feeds.remember` made."""
    digests = tuple(hashlib.sha256(str(item).encode()).digest() for item in items)
    assert memory.forget(Selection(digests=digests)).items == len(items)


def inodes(folder: Path) -> dict[str, int]:
    """Of the sealed folders below, by their place: one that was made anew has another."""
    return {str(seal.relative_to(folder).parent): seal.stat().st_ino for seal in folder.rglob("seal")}


def put_back(copy: Path, folder: Path) -> None:
    """In the place of what is there, if anything is."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(copy, folder)
