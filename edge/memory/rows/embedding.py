"""Embeddings of waiting items become rows, unless something went on with the item meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edge.items import Embedded
from edge.memory.rows.item_rows import HAS_ROW
from edge.memory.rows.turns import switch

_IS_DEEPER = "SELECT 1 FROM embeddings WHERE item = ? AND model = ? AND depth > ?"


def there(rows: sqlite3.Connection, batch: Sequence[Embedded]) -> list[Embedded]:
    """Those whose items were not forgotten."""
    return [one for one in batch if rows.execute(HAS_ROW, (one.item,)).fetchone()]


def embed(rows: sqlite3.Connection, model: int, batch: Sequence[Embedded], sequence: int) -> list[Embedded]:
    """Inside a transaction. Returns those that were written: a question may have finished the others before."""
    fresh = [one for one in batch if not rows.execute(_IS_DEEPER, (one.item, model, one.depth)).fetchone()]
    values = [
        (one.item, model, one.depth, one.embedding.astype("<f2").tobytes(), one.offset, sequence) for one in fresh
    ]
    rows.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?, ?, ?)", values)
    switch(rows, model, batch, sequence)
    return fresh
