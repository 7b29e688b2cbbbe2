"""A finer embedding in place of a coarse one: what a question has finished need not be finished again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edge.items import Embedded

_DEEPEST = "SELECT max(depth) FROM embeddings WHERE item = ? AND model = ?"


def refine(rows: sqlite3.Connection, model: int, batch: Sequence[Embedded], sequence: int) -> list[tuple[int, int]]:
    """Inside a transaction. Returns for each item that was refined the depth that it had and the one that it has.

    An item that was forgotten, or is to be embedded anew, since it was read has no embedding and gets none here.
    """
    moves: list[tuple[int, int]] = []
    for one in batch:
        (depth,) = rows.execute(_DEEPEST, (one.item, model)).fetchone()
        if depth is None or depth >= one.depth:
            continue
        values = (one.item, model, one.depth, one.embedding.astype("<f2").tobytes(), one.offset, sequence)
        rows.execute("INSERT INTO embeddings VALUES (?, ?, ?, ?, ?, ?)", values)
        rows.execute("DELETE FROM embeddings WHERE item = ? AND model = ? AND depth < ?", (one.item, model, one.depth))
        moves.append((depth, one.depth))
    return moves
