"""One commit of embeddings of waiting items."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edge.items import Embedded
from edge.memory.item_rows import HAS_ROW, date
from edge.memory.transaction import atomic
from edge.memory.turns import switch


def index(rows: sqlite3.Connection, model: int, arrived: Sequence[Embedded], change: int) -> list[Embedded]:
    """All or nothing; `change` is the number of the commit. Returns those of items that were not forgotten meanwhile.

    Raises sqlite3.Error.
    """
    batch = [one for one in arrived if rows.execute(HAS_ROW, (one.item,)).fetchone()]
    values = [(one.item, model, one.depth, one.embedding.astype("<f2").tobytes(), one.offset, change) for one in batch]
    with atomic(rows):
        rows.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?, ?, ?)", values)
        switch(rows, model, [one.item for one in batch], change)
        for one in batch:
            if one.taken_at is not None:
                date(rows, one.item, one.taken_at)
    return batch
