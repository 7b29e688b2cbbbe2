"""The process that makes a new sealed folder out of an old one and what came since. Started by Builder.

    python -m edge.memory.index.build JOB OLD TARGET FOREST

JOB:    a sealed folder with the rows that came since, and in `gone` (int64) the ids that are in OLD and no longer count
OLD:    a sealed folder, or empty
TARGET: the folder to make
FOREST: "forest", or "rows" for none

It works at the lowest priority, in little memory whatever the number of rows, and ends when its standard input does: a
killed daemon leaves no process behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Block, Flags, Rows
from edge.memory.index.forest import FOREST, build_forest
from edge.memory.index.sealed import UNFINISHED, DamagedError, close_seal, map_rows, open_sealed, write_rows

GONE = "gone"
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


def main() -> int:
    """Returns the exit code; what went wrong stands in the last line of standard error."""
    threading.Thread(target=_end_with_the_parent, name="parent", daemon=True).start()
    with contextlib.suppress(OSError):  # not allowed under some sandboxes
        os.nice(19)
    job, old, target, forest = sys.argv[1:]
    try:
        merge(Path(job), Path(old) if old else None, Path(target), with_forest=forest == FOREST)
    except DamagedError as error:
        sys.stderr.write(f"{error}\n")
        return DAMAGED
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _end_with_the_parent() -> None:
    while os.read(0, 1):  # not sys.stdin: a thread that holds its lock at the end makes the interpreter abort
        pass
    os._exit(1)  # in the middle of annoy's work, too


if __name__ == "__main__":
    sys.exit(main())
