"""A finer embedding in place of a coarse one: what a question has finished need not be finished again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge.items import Embedded
from edge.memory.rows.turns import switch

_IS_OTHERS = "SELECT 1 FROM embeddings WHERE item = ? AND model != ?"
_DROP_SHALLOWER = "DELETE FROM embeddings WHERE item = ? AND model = ? AND depth < ?"
_DEEPEST = "SELECT max(depth) FROM embeddings WHERE item = ? AND model = ?"


@dataclass(frozen=True, slots=True)
class Refined:
    """What came of it.

    moves:    for each item that was refined, the depth that it had and the one that it has
    switched: those that only another bundle had embedded
    """

    moves: list[tuple[int, int]]
    switched: list[Embedded]


def refine(rows: sqlite3.Connection, model: int, batch: Sequence[Embedded], sequence: int) -> Refined:
    """Inside a transaction.

    An item that was forgotten since it was read, or whose content is to be embedded anew, gets none here.
    """
    made = Refined([], [])
    for one in batch:
        (depth,) = rows.execute(_DEEPEST, (one.item, model)).fetchone()
        if depth is None and not rows.execute(_IS_OTHERS, (one.item, model)).fetchone():
            continue
        if depth is not None and depth >= one.depth:
            continue
        values = (one.item, model, one.depth, one.embedding.astype("<f2").tobytes(), one.offset, sequence)
        rows.execute("INSERT INTO embeddings VALUES (?, ?, ?, ?, ?, ?)", values)
        if depth is None:
            switch(rows, model, [one], sequence)
            made.switched.append(one)
        else:
            rows.execute(_DROP_SHALLOWER, (one.item, model, one.depth))
            made.moves.append((depth, one.depth))
    return made
