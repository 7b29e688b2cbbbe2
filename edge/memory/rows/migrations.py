"""Earlier schemas, brought to the present one: each step in one transaction with the record that it was done."""

from __future__ import annotations

import sqlite3

from edge.memory.rows.transaction import atomic

# Embeddings of schema 2 lack the offset of their scores: they are dropped, and what has no embedding waits for one.
_FROM_2 = """
ALTER TABLE items ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE items ADD COLUMN sightings INTEGER NOT NULL DEFAULT 1;
ALTER TABLE items ADD COLUMN seen_at REAL;
UPDATE items SET lost = 1 WHERE rejected LIKE 'its content %';
ALTER TABLE waiting ADD COLUMN blame INTEGER NOT NULL DEFAULT 0;
DROP TABLE embeddings;
CREATE TABLE embeddings (
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model INTEGER NOT NULL REFERENCES models,
    depth INTEGER NOT NULL,
    vector BLOB NOT NULL,
    offset REAL NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (item, model, depth)
) STRICT;
CREATE INDEX embeddings_by_sequence ON embeddings (model, sequence);
CREATE TABLE removals (
    sequence INTEGER NOT NULL,
    model INTEGER NOT NULL,
    item INTEGER NOT NULL,
    PRIMARY KEY (model, sequence, item)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 3
"""
_FROM_3 = """
ALTER TABLE items ADD COLUMN evicted INTEGER NOT NULL DEFAULT 0;
CREATE TABLE clock (
    boot    TEXT NOT NULL,
    lead    REAL NOT NULL,
    base    REAL NOT NULL,
    since_s REAL NOT NULL,
    first   INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 4
"""
_FROM_4 = """
ALTER TABLE items ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
CREATE TABLE forgetting (
    item INTEGER PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE forgotten (
    last INTEGER NOT NULL
) STRICT;
INSERT INTO forgotten VALUES (0);
CREATE INDEX items_by_source ON items (source);
CREATE INDEX items_by_time ON items (coalesce(taken_at, added_at));
PRAGMA user_version = 5
"""
_FROM_5 = """
ALTER TABLE items ADD COLUMN taken_from TEXT;
UPDATE items SET taken_from = 'message' WHERE taken_at IS NOT NULL;
ALTER TABLE models ADD COLUMN folder TEXT;
ALTER TABLE waiting ADD COLUMN asked INTEGER;
UPDATE waiting SET asked = 0 WHERE item IN (SELECT item FROM embeddings);
CREATE TABLE kept_back (
    item  INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model INTEGER NOT NULL REFERENCES models,
    PRIMARY KEY (item, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (
    item  INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (item, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX meta_by_value ON meta (key, value);
CREATE INDEX waiting_new ON waiting (item) WHERE asked IS NULL;
CREATE INDEX waiting_again ON waiting (blame > 0, asked DESC, item DESC) WHERE asked IS NOT NULL;
PRAGMA user_version = 6
"""
_FROM_6 = """
CREATE TABLE demand (
    source    TEXT PRIMARY KEY,
    questions REAL NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 7
"""
_FROM_7 = """
ALTER TABLE models ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 8
"""
# By the schema that they start from.
MIGRATIONS = {2: _FROM_2, 3: _FROM_3, 4: _FROM_4, 5: _FROM_5, 6: _FROM_6, 7: _FROM_7}


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """All steps from schema `version` on. A step that fails changes nothing."""
    while version in MIGRATIONS:
        with atomic(connection):
            for statement in MIGRATIONS[version].split(";\n"):
                connection.execute(statement)
        version += 1
