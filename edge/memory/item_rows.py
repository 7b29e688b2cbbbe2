"""Items as they stand in their table."""

from __future__ import annotations

from typing import Any

from edge.items import Item

_COLUMNS = ("id", "digest", "modality", "source", "bytes", "added_at", "taken_at", "sightings", "seen_at", "evicted")
ITEM = "SELECT id, digest, modality, source, bytes, added_at, taken_at, sightings, seen_at, evicted FROM items"


def item_of(row: tuple[Any, ...]) -> Item:
    """A row that `ITEM` selected."""
    *values, evicted = row
    return Item(**dict(zip(_COLUMNS[:-1], values, strict=True)), evicted=bool(evicted))
