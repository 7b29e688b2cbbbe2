"""The table of items, row by row. Who changes it does so in a transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from edge.items import Arrival, Item
from edge.memory.cache.worth import Seen
from edge.memory.rows.meta_rows import META, meta_of

_COLUMNS = ["id", "digest", "modality", "source", "bytes", "added_at", "taken_at", "taken_from", "sightings", "seen_at"]
ITEM = f"SELECT {', '.join(_COLUMNS)}, evicted, {META} FROM items"  # noqa: S608 - words of ours
HAS_ROW = "SELECT 1 FROM items WHERE id = ?"
_REMOVE = "INSERT OR IGNORE INTO removals SELECT ?, model, item FROM embeddings WHERE item = ?"
_INSERT = """
INSERT INTO items (id, digest, modality, source, bytes, added_at, taken_at, taken_from)
VALUES (1 + max(coalesce((SELECT max(id) FROM items), 0), (SELECT last FROM forgotten)), ?, ?, ?, ?, ?, ?, ?)
RETURNING id
"""
_SIGHTED = "UPDATE items SET sightings = sightings + 1, seen_at = ? WHERE digest = ? RETURNING id, sightings, seen_at"
_RENEWED = """
UPDATE items SET rejected = NULL, lost = 0, evicted = 0, sightings = sightings + 1, seen_at = ? WHERE id = ?
"""


# What a sender knows is not overruled by a camera's clock.
_TAKEN = "UPDATE items SET taken_at = ?, taken_from = 'exif' WHERE id = ? AND taken_from IS NOT 'message'"


def item_of(row: tuple[Any, ...]) -> Item:
    """Of a row that ITEM selects."""
    *values, evicted, meta = row
    return Item(**dict(zip(_COLUMNS, values, strict=True)), evicted=bool(evicted), meta=meta_of(meta))


def insert(rows: sqlite3.Connection, one: Arrival, now: float) -> int:
    """The id of a new item; no item that was forgotten had it."""
    origin = None if one.taken_at is None else one.taken_from
    values = (one.digest, one.modality, one.source, len(one.content), now, one.taken_at, origin)
    (number,) = rows.execute(_INSERT, values).fetchone()
    return int(number)


def date(rows: sqlite3.Connection, item: int, taken_at: float) -> None:
    """The picture itself says when it was taken."""
    rows.execute(_TAKEN, (taken_at, item))


def sight(rows: sqlite3.Connection, digest: bytes, now: float) -> list[Seen]:
    """The same bytes came again; of an item, if there is one."""
    return [Seen._make(row) for row in rows.execute(_SIGHTED, (now, digest)).fetchall()]


def renew(rows: sqlite3.Connection, model: int, item: int, now: float, change: int) -> None:
    """An item whose content was gone and came again is embedded anew; `change` is the number of the commit."""
    rows.execute(_RENEWED, (now, item))
    rows.execute(f"{_REMOVE} AND model = ?", (change, item, model))
    rows.execute("DELETE FROM embeddings WHERE item = ? AND model = ?", (item, model))


def reject(rows: sqlite3.Connection, item: int, reason: str, change: int, *, is_lost: bool) -> None:
    """It counts no more; `change` is the number of the commit."""
    rows.execute("UPDATE items SET rejected = ?, lost = ? WHERE id = ?", (reason, is_lost, item))
    rows.execute("DELETE FROM waiting WHERE item = ?", (item,))
    # Another bundle may have read it before it was damaged: what does not count cannot be found either.
    rows.execute(_REMOVE, (change, item))
    rows.execute("DELETE FROM embeddings WHERE item = ?", (item,))
