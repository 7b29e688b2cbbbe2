"""What the builder's process does: an old sealed folder and what came since become a new one, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Block, Flags, Rows
from edge.memory.index.forest import build_forest
from edge.memory.index.sealed import UNFINISHED, close_seal, map_rows, open_sealed, write_rows

GONE = "gone"  # a job's file: int64 ids that are in the old folder and no longer count
DAMAGED = 3  # exit code: a folder to read from is not what was written
_AT_A_TIME = 4_096


def merge(job: Path, old: Path | None, target: Path, *, with_forest: bool) -> None:
    """Make `target`. Raises DamagedError when a folder is not what was written, OSError."""
    came = open_sealed(job)
    if old is None:
        rows = _Merged([came.block], [np.ones(len(came.block), dtype=bool)])
    else:
        before = open_sealed(old).block
        gone = np.isin(before.ids, np.fromfile(job / GONE, "<i8"))
        rows = _Merged([before, came.block], [~gone, np.ones(len(came.block), dtype=bool)])
    centre = rows.mean()
    folder = target.with_name(target.name + UNFINISHED)
    count = write_rows(folder, rows.blocks(centre), centre)
    if with_forest:
        build_forest(folder, map_rows(folder, count, len(centre)), came.seal.scale)
    close_seal(folder, target, replace(came.seal, rows=count))


class _Merged:
    """The rows of some blocks that count, in the order of their ids."""

    def __init__(self, blocks: list[Block], keep: list[Flags]) -> None:
        self._blocks = blocks
        kept = [np.flatnonzero(flags) for flags in keep]
        order = np.argsort(np.concatenate([block.ids[rows] for block, rows in zip(blocks, kept, strict=True)]))
        self._source = np.repeat(np.arange(len(blocks)), [len(rows) for rows in kept])[order]
        self._rows = np.concatenate(kept)[order]

    def mean(self) -> Floats:
        """(D,); of no rows it is zero."""
        total = np.zeros(len(self._blocks[0].centre))
        for _, embeddings, _ in self._parts():
            total += embeddings.sum(axis=0, dtype=np.float64)
        return (total / max(len(self._rows), 1)).astype(np.float32)

    def blocks(self, centre: Floats) -> Iterator[Block]:
        """All rows, anew around `centre`."""
        for ids, embeddings, offsets in self._parts():
            yield Block.of(ids, embeddings, offsets, centre)

    def _parts(self) -> Iterator[tuple[Rows, Floats, Floats]]:
        for start in range(0, len(self._rows), _AT_A_TIME):
            source, rows = (all_[start : start + _AT_A_TIME] for all_ in (self._source, self._rows))
            ids = np.empty(len(rows), np.int64)
            embeddings = np.empty((len(rows), len(self._blocks[0].centre)), np.float32)
            offsets = np.empty(len(rows), np.float32)
            for number, block in enumerate(self._blocks):
                here = source == number
                ids[here] = block.ids[rows[here]]
                embeddings[here] = block.embeddings(rows[here])
                offsets[here] = block.offsets[rows[here]]
            yield ids, embeddings, offsets
