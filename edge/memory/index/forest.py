"""An Annoy forest over the rows of a sealed block: candidates among very many rows, without looking at each.

A row stands in it as [(embedding - centre) on the block's first principal axes, (offset - mean offset) / scale], and a
query as [query on these axes, 1]: their inner product ranks about as the score does. Measured over 100,000 x 384
(MiniLM embeddings of WordNet glosses, captions as queries, 40 trees, 32,000 rows looked at), recall@10 and megabytes of
file: whole embeddings .954 and 212; a third of the axes, and 500 candidates then scored exactly, .967 and 111. With the
centre left in, recall is some points lower.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Block, Rows

FOREST, AXES = "forest", "axes"  # files; the axes are (D, A) float32
_TREES = 40  # 20 find less in the same time; 80 hardly more, and take more of the disk
_SEARCHED = 40_000  # rows looked at for a question,
_SEARCHED_SHARE = 0.16  # or this part of all: of 1,000,000, 40,000 hold .83 of the best ten, and this part .96
_CANDIDATES = 500
_AXES_SHARE, _FEW_AXES = 3, 64
_SAMPLE = 20_000  # rows that the axes are found from
_SEED = 20251125
_AT_A_TIME = 4_096


def annoy_is_installed() -> bool:
    """Whether there can be forests: annoy needs a compiler where there is no wheel."""
    return importlib.util.find_spec("annoy") is not None


def is_worth_it(rows: int, count: int) -> bool:
    """Whether a forest finds `count` rows among that many faster than looking at all of them."""
    return 2 * _searched(rows, count) < rows


def build_forest(folder: Path, block: Block, scale: float) -> None:
    """Write the files of a forest; the same rows give the same bytes. Raises OSError."""
    axes = _principal_axes(block)
    (folder / AXES).write_bytes(axes.astype("<f4").tobytes())
    forest = _annoy(axes)
    forest.on_disk_build(str(folder / FOREST))
    forest.set_seed(_SEED)
    lift = (block.offsets - block.offsets.mean(dtype=np.float64)) / scale
    for start in range(0, len(block), _AT_A_TIME):
        rows = np.arange(start, min(start + _AT_A_TIME, len(block)))
        points = np.column_stack([(block.embeddings(rows) - block.centre) @ axes, lift[rows]])
        for row, point in zip(rows.tolist(), points.tolist(), strict=True):
            forest.add_item(row, point)
    forest.build(_TREES, n_jobs=1)
    forest.unload()


class Forest:
    """A forest, mapped. Its files must have been checked: annoy trusts what it maps."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._axes = np.fromfile(folder / AXES, "<f4").reshape(dimension, -1)
        self._forest = _annoy(self._axes)
        self._forest.load(str(folder / FOREST))

    def candidates(self, query: Floats, count: int) -> Rows:
        """(D,) -> row numbers, rising, most of the best `count` among them, and a multiple of that many."""
        wanted = _candidates(count)
        point = [*np.matmul(self._axes.T[:, None], query[:, None]).ravel().tolist(), 1.0]  # see exact.py on BLAS
        searched = _searched(self._forest.get_n_items(), count)
        rows = np.array(self._forest.get_nns_by_vector(point, wanted, searched), dtype=np.int64)
        rows.sort()
        return rows


def _candidates(count: int) -> int:
    return max(_CANDIDATES, 4 * count)


def _searched(rows: int, count: int) -> int:
    return max(_SEARCHED, round(_SEARCHED_SHARE * rows), _TREES * _candidates(count))


def _principal_axes(block: Block) -> Floats:
    """(D, A): the directions in which rows differ most, orthonormal."""
    dimension = len(block.centre)
    count = max(dimension // _AXES_SHARE, min(dimension, _FEW_AXES))
    some = block.embeddings(np.arange(0, len(block), -(-len(block) // _SAMPLE))) - block.centre
    _, directions = np.linalg.eigh(some.T @ some)
    axes: Floats = np.ascontiguousarray(directions[:, ::-1][:, :count])
    return axes


def _annoy(axes: Floats) -> Any:
    from annoy import AnnoyIndex  # noqa: PLC0415 - optional

    return AnnoyIndex(axes.shape[1] + 1, "dot")
