"""Whose turn it is to be embedded: what is new first, behind it what another bundle has embedded, most asked for first.

What another bundle has embedded stays with it, and is found through it, until this bundle's embedding takes that one's
place in one commit. So an item never has embeddings of two bundles, and a migration that was interrupted goes on where
it was. What this bundle cannot read, or what has no content any more, stays with the other for good. Notes go before
all pictures: each takes one pass of the text tower, and they are not found until then. For a bundle that takes none
they do not wait at all: the next that does lines them up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from edge.items import Embedded
from edge.memory.rows.item_rows import date
from edge.memory.rows.transaction import atomic

WAITS = "SELECT 1 FROM waiting WHERE item = ?"
IS_KEPT_BACK = "SELECT 1 FROM kept_back WHERE item = ? AND model = ?"
# As if a note had been an answer so often, for the sake of the index by `asked`.
_LINE_UP = """
INSERT OR IGNORE INTO waiting (item, asked)
SELECT id, CASE WHEN EXISTS (SELECT 1 FROM embeddings WHERE item = items.id)
    THEN CASE modality WHEN 'text' THEN 1000000000 ELSE 0 END END FROM items
"""
_LACKING = """
WHERE rejected IS NULL AND NOT evicted
AND NOT EXISTS (SELECT 1 FROM embeddings WHERE item = items.id AND model = :model)
AND NOT EXISTS (SELECT 1 FROM kept_back WHERE item = items.id AND model = :model)
"""
_OTHERS = "SELECT 1 FROM models WHERE id != :model AND EXISTS (SELECT 1 FROM embeddings WHERE model = models.id)"
# Versions before schema 6 left what another bundle had embedded beside this one's.
_TWICE = """
FROM embeddings WHERE model != :model
AND EXISTS (SELECT 1 FROM embeddings AS ours WHERE ours.item = embeddings.item AND ours.model = :model)
"""
_REMOVE_TWICE = f"INSERT OR IGNORE INTO removals SELECT DISTINCT :sequence, model, item {_TWICE}"
_NO_NOTES = "DELETE FROM waiting WHERE (SELECT modality FROM items WHERE id = item) = 'text'"
_WAIT_NO_MORE = "DELETE FROM waiting WHERE item IN (SELECT item FROM embeddings WHERE model = :model)"
_NEW = "JOIN waiting ON item = id WHERE asked IS NULL ORDER BY blame > 0, id LIMIT ?"
_AGAIN = "JOIN waiting ON item = id WHERE asked IS NOT NULL ORDER BY blame > 0, asked DESC, item DESC LIMIT ?"
_REMOVE_OTHERS = """
INSERT OR IGNORE INTO removals SELECT DISTINCT :sequence, model, item FROM embeddings
WHERE item = :item AND model != :model
"""
_ASK = "UPDATE waiting SET asked = asked + ? WHERE item = ? AND asked IS NOT NULL"


def line_up(rows: sqlite3.Connection, model: int, sequence: int, *, takes_notes: bool) -> None:
    """All that has no embedding of this bundle and can have one waits for it. In a transaction, of this number."""
    of_model = {"model": model}
    if rows.execute(_OTHERS, of_model).fetchone():
        rows.execute(_REMOVE_TWICE, {**of_model, "sequence": sequence})
        rows.execute(f"DELETE {_TWICE}", of_model)
    rows.execute(_LINE_UP + _LACKING, of_model)
    rows.execute(_WAIT_NO_MORE, of_model)
    if not takes_notes:
        rows.execute(_NO_NOTES)


def join(rows: sqlite3.Connection, item: int) -> None:
    """An item whose content has just come waits, too."""
    rows.execute("DELETE FROM kept_back WHERE item = ?", (item,))
    rows.execute(f"{_LINE_UP} WHERE id = ?", (item,))


def next_rows(reader: sqlite3.Connection, select: str, count: int) -> list[tuple[Any, ...]]:
    """The `count` items whose turn is next, by `select`; suspects come behind all others of their kind."""
    found = reader.execute(f"{select} {_NEW}", (count,)).fetchall()
    if len(found) < count:
        found += reader.execute(f"{select} {_AGAIN}", (count - len(found),)).fetchall()
    return found


def ask(rows: sqlite3.Connection, times: Mapping[int, int]) -> None:
    """Items were answers so many times: if another bundle's, they are sooner embedded by this one."""
    with atomic(rows):
        rows.executemany(_ASK, [(count, item) for item, count in times.items()])


def switch(rows: sqlite3.Connection, model: int, batch: Iterable[Embedded], sequence: int) -> None:
    """These have an embedding of this bundle now: no other's is left, they wait no more, and have the time that it saw.

    In the transaction that brings it.
    """
    for one in batch:
        values = {"sequence": sequence, "item": one.item, "model": model}
        rows.execute(_REMOVE_OTHERS, values)
        rows.execute("DELETE FROM embeddings WHERE item = :item AND model != :model", values)
        rows.execute("DELETE FROM waiting WHERE item = :item", values)
        if one.taken_at is not None:
            date(rows, one.item, one.taken_at)


def keep_back(rows: sqlite3.Connection, model: int, item: int) -> bool:
    """This bundle cannot embed an item that another one has embedded: it stays there. False for any other item."""
    is_others = rows.execute("DELETE FROM waiting WHERE item = ? AND asked IS NOT NULL", (item,)).rowcount
    if is_others:
        rows.execute("INSERT OR IGNORE INTO kept_back VALUES (?, ?)", (item, model))
    return bool(is_others)
