"""Rows of one exit in the form in which they are searched: int8 to find candidates, float16 to score them.

Shapes: N rows, D the shared space. A row is one item's embedding at that exit and the offset of its scores there:
score = scale * cosine + offset, so that the scores of different exits can be compared (edge/relevance.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.items import Floats

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """N rows: arrays in memory, or mapped from files.

    ids:     (N,) item ids
    halves:  (N, D) embeddings, as SQLite holds them
    codes:   (N, D) embeddings less `centre`, in steps of the row's own size: within half a step of `halves`
    steps:   (N,) float32
    offsets: (N,) float32
    centre:  (D,) float32, about the mean: what all rows share would use up the codes' range
    """

    ids: Rows
    halves: Halves
    codes: Codes
    steps: Floats
    offsets: Floats
    centre: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: Rows, embeddings: Floats, offsets: Floats, centre: Floats) -> Block:
        """(N,), (N, D), (N,) and (D,). What is searched are the embeddings rounded to float16."""
        halves = embeddings.astype("<f2")
        rest = halves.astype(np.float32) - centre
        steps = np.abs(rest).max(axis=1, initial=0) / np.float32(127)
        safe = np.where(steps > 0, steps, np.float32(1))  # a row at the centre has step 0 and codes 0
        codes = np.rint(rest / safe[:, None]).astype(np.int8)
        return cls(np.asarray(ids, np.int64), halves, codes, steps, np.asarray(offsets, np.float32), centre)

    @classmethod
    def empty(cls, dimension: int) -> Block:
        """No rows, around zero."""
        wide = (0, dimension)
        nothing = np.zeros(0, np.float32)
        return cls(
            np.zeros(0, np.int64),
            np.zeros(wide, "<f2"),
            np.zeros(wide, np.int8),
            nothing,
            nothing,
            np.zeros(dimension, np.float32),
        )

    def first(self, count: int) -> Block:
        """A view of the first rows."""
        cut = slice(count)
        return Block(self.ids[cut], self.halves[cut], self.codes[cut], self.steps[cut], self.offsets[cut], self.centre)

    def take(self, rows: Rows) -> Block:
        """A copy of the rows with these numbers."""
        return Block(
            self.ids[rows], self.halves[rows], self.codes[rows], self.steps[rows], self.offsets[rows], self.centre
        )

    @property
    def by_cosine(self) -> Block:
        """The same rows with nothing added to their cosines."""
        return replace(self, offsets=np.zeros(len(self), np.float32))

    def embeddings(self, rows: Rows) -> Floats:
        """(R,) row numbers -> (R, D) float32."""
        return self.halves[rows].astype(np.float32)
