"""Which rows a selection means: an order about items, or a question narrowed to some, as SQL."""

from __future__ import annotations

import sqlite3

from edge.items import Selection

_WILD = frozenset("*?[")
_LAST = "\U0010ffff"  # no text has it


def ids_of(rows: sqlite3.Connection, selection: Selection) -> list[int]:
    """Of the items that are meant, rising; rejected ones and such that wait among them."""
    words, values = _condition(selection)
    query = f"SELECT id FROM items WHERE {words} ORDER BY id"  # noqa: S608 - words of ours: what is given is bound
    return [item for (item,) in rows.execute(query, values)]


def admitted_ids(rows: sqlite3.Connection, selection: Selection) -> list[int]:
    """Of the items that a question may find, rising: no rejected ones."""
    words, values = _condition(selection)
    query = f"SELECT id FROM items WHERE rejected IS NULL AND {words} ORDER BY id"  # noqa: S608 - as above
    return [item for (item,) in rows.execute(query, values)]


def pin(rows: sqlite3.Connection, selection: Selection, *, is_pinned: bool) -> int:
    """Pin what is meant, or let it go; returns how many items it is. In a transaction."""
    words, values = _condition(selection)
    update = f"UPDATE items SET pinned = ? WHERE {words}"  # noqa: S608 - as above
    return rows.execute(update, (is_pinned, *values)).rowcount


def pinned_ids(rows: sqlite3.Connection) -> frozenset[int]:
    """Of all pinned items."""
    return frozenset(item for (item,) in rows.execute("SELECT id FROM items WHERE pinned"))


def _condition(selection: Selection) -> tuple[str, list[object]]:
    """Of a WHERE, and its values."""
    words, values = ["true"], list[object]()
    if selection.digests is not None:
        words.append(f"digest IN ({', '.join('?' * len(selection.digests))})")
        values += selection.digests
    if selection.source is not None:
        # Not LIKE, which takes a and A for the same; and a span, which an index answers.
        is_pattern = bool(_WILD & set(selection.source))
        words.append("source GLOB ?" if is_pattern else "source >= ? AND source < ?")
        values += [selection.source] if is_pattern else [selection.source, selection.source + _LAST]
    if selection.modality is not None:
        words.append("modality = ?")
        values.append(selection.modality)
    if selection.since is not None:
        words.append("coalesce(taken_at, added_at) >= ?")
        values.append(selection.since)
    if selection.until is not None:
        words.append("coalesce(taken_at, added_at) < ?")
        values.append(selection.until)
    for pair in selection.meta:
        words.append("id IN (SELECT item FROM meta WHERE key = ? AND value = ?)")
        values += pair
    return " AND ".join(words), values
