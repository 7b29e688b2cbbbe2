"""Items that cannot be used, for good: what is to blame for the end of the process, or cannot be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from edge.items import Item
from edge.memory.disk.attempts import MOST_BLAME
from edge.memory.rows.item_rows import ITEM, item_of
from edge.memory.rows.item_rows import reject as reject_row
from edge.memory.rows.turns import keep_back

CRASHED_TWICE = "crashed the device twice"
_ACCUSED = f"{ITEM} JOIN waiting ON item = id WHERE blame >= ?"


def reject(rows: sqlite3.Connection, model: int, item: int, reason: str, sequence: int, *, is_lost: bool) -> bool:
    """In a transaction. False when bundle number `model` cannot use it, and it stays with the one that can."""
    if keep_back(rows, model, item):
        return False
    reject_row(rows, item, reason, sequence, is_lost=is_lost)
    return True


def blame(rows: sqlite3.Connection, model: int, left: Mapping[int, int], sequence: int) -> tuple[Item, ...]:
    """Those among the waiting that the last process ended over are suspects, and rejected in the end: these.

    In a transaction. `left` has blame by item.
    """
    rows.executemany(
        "UPDATE waiting SET blame = blame + ? WHERE item = ?", [(more, item) for item, more in left.items()]
    )
    found = [item_of(row) for row in rows.execute(_ACCUSED, (MOST_BLAME,)).fetchall()]
    return tuple(item for item in found if reject(rows, model, item.id, CRASHED_TWICE, sequence, is_lost=False))
