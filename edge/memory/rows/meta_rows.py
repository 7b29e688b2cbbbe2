"""The table of metadata: what senders said of items, some keys and values each. In a transaction."""

from __future__ import annotations

import json
import sqlite3

from edge.items import Meta
from edge.meta import MOST_META

# One value of a row, of the item of a query over items.
META = "(SELECT json_group_object(key, value) FROM meta WHERE item = items.id)"
_SET = """
INSERT INTO meta SELECT :item, :key, :value
WHERE EXISTS (SELECT 1 FROM meta WHERE item = :item AND key = :key)
    OR (SELECT count(*) FROM meta WHERE item = :item) < :most
ON CONFLICT DO UPDATE SET value = excluded.value
"""
_ITEM = "SELECT id FROM items WHERE digest = ? AND rejected IS NULL AND id NOT IN (SELECT item FROM forgetting)"


def describe(rows: sqlite3.Connection, item: int, meta: Meta) -> None:
    """Add it to what is said of an item already; the newer value of a key counts. Keys beyond the most are left out."""
    rows.executemany(_SET, [{"item": item, "key": key, "value": value, "most": MOST_META} for key, value in meta])


def describe_known(rows: sqlite3.Connection, digest: bytes, meta: Meta) -> None:
    """The same by the digest of an item, if there is one."""
    for (item,) in rows.execute(_ITEM, (digest,)).fetchall():
        describe(rows, item, meta)


def meta_of(text: str) -> Meta:
    """Of what META selects."""
    return tuple(sorted(json.loads(text).items()))
