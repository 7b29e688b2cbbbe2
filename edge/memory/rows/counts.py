"""How much the memory holds, counted once when it is opened and kept up by the one thread that writes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from edge.items import Embedded, Item, Tally

_CONTENT = "SELECT count(*), coalesce(sum(bytes * NOT evicted), 0) FROM items WHERE rejected IS NULL"
_WAITING = "SELECT item, bytes FROM waiting JOIN items ON items.id = item WHERE asked IS NULL"
_AGAIN = "SELECT item, bytes FROM waiting JOIN items ON items.id = item WHERE asked IS NOT NULL"
_NOTES = """
SELECT coalesce(sum(bytes), 0) FROM items
WHERE modality = 'text' AND NOT evicted AND rejected IS NULL AND id NOT IN (SELECT item FROM waiting)
"""
_EARLIER = "SELECT count(DISTINCT item) FROM embeddings WHERE model != ?"
_EXITS = """
SELECT depth, count(*) FROM (
    SELECT max(depth) AS depth FROM embeddings JOIN items ON items.id = item
    WHERE model = ? AND modality = ? GROUP BY item
) GROUP BY 1
"""


def exits_of(rows: sqlite3.Connection, model: int, modality: str = "image") -> dict[int, int]:
    """How many items of a modality one bundle has embedded, by depth."""
    return dict(rows.execute(_EXITS, (model, modality)).fetchall())


class Counts:
    """Counters that follow the commits."""

    def __init__(self, rows: sqlite3.Connection, model: int) -> None:
        self._items, self._content_bytes = rows.execute(_CONTENT).fetchone()
        (self._rejected,) = rows.execute("SELECT count(*) FROM items WHERE rejected IS NOT NULL").fetchone()
        self._waiting: dict[int, int] = dict(rows.execute(_WAITING))
        self._waiting_bytes = sum(self._waiting.values())
        self._again: dict[int, int] = dict(rows.execute(_AGAIN))
        (self._note_bytes,) = rows.execute(_NOTES).fetchone()
        (self._earlier,) = rows.execute(_EARLIER, (model,)).fetchone()
        self._exits: Counter[int] = Counter(exits_of(rows, model))
        self._notes = sum(exits_of(rows, model, "text").values())

    def accepted(self, batch: Iterable[tuple[int, int]]) -> None:
        """New items wait: their ids and bytes."""
        for item, size in batch:
            self._items += 1
            self._content_bytes += size
            self._waiting[item] = size
            self._waiting_bytes += size

    def indexed(self, batch: Sequence[Embedded]) -> bool:
        """Items have an embedding now; False when one of them had one before, and all must be counted again."""
        for one in batch:
            if one.item in self._again:
                size = self._again.pop(one.item)
                self._earlier -= 1
            elif one.item in self._waiting:
                size = self._waiting.pop(one.item)
                self._waiting_bytes -= size
            else:
                return False
            if one.modality == "text":
                self._notes += 1
                self._note_bytes += size
            else:
                self._exits[one.depth] += 1
        return True

    def refined(self, moves: Iterable[tuple[int, int]]) -> None:
        """Pictures went from one depth to another."""
        for old, new in moves:
            self._exits[old] -= 1
            self._exits[new] += 1

    def kept_back(self, item: Item) -> None:
        """An item stays with the bundle that embedded it."""
        size = self._again.pop(item.id, 0)
        if item.modality == "text":
            self._note_bytes += size

    def is_again(self, item: int) -> bool:
        """Whether it has an embedding of another bundle, and waits for one of this."""
        return item in self._again

    def settled_bytes(self) -> int:
        """Of the raw content of pictures that nothing waits for."""
        pictures_bytes: int = self._content_bytes - self._note_bytes
        return pictures_bytes - self._waiting_bytes - sum(self._again.values())

    def rejected(self, item: int, size: int) -> None:
        """An accepted item of `size` bytes turned out to be unreadable."""
        self._waiting_bytes -= self._waiting.pop(item, 0)
        self._items -= 1
        self._content_bytes -= size
        self._rejected += 1

    def evicted(self, size: int) -> None:
        """Content of `size` bytes is not kept any more."""
        self._content_bytes -= size

    def tally(self) -> Tally:
        """A snapshot that other threads may read."""
        return Tally(
            items=self._items,
            waiting=len(self._waiting),
            waiting_bytes=self._waiting_bytes,
            rejected=self._rejected,
            exits=dict(sorted((+self._exits).items())),  # those that hold any
            content_bytes=self._content_bytes,
            earlier=self._earlier,
            migrating=len(self._again),
            notes=self._notes,
        )
