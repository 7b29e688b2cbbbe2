"""The rows of an imported database join those that are there, in one transaction.

The same content is one item. It keeps its id, source and times here; of sightings, pins and last sightings the greater
counts, so that importing a file twice is importing it once; of two embeddings by one bundle the deeper; of its metadata
the keys that it lacks are added, as far as an item may have them. What was rejected here stays so, unless its content
was only lost. All other items get the ids behind those that are there: their own, where nothing was.
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.memory.archive import ArchiveError
from edge.memory.rows.changes import last_sequence
from edge.meta import MOST_META, meta_problems

_ONLY = {"table", "index"}
_COLUMNS = (
    "digest, modality, source, bytes, added_at, taken_at, taken_from, rejected, lost, sightings, seen_at, evicted,"
    " pinned"
)
_HIGHEST = "SELECT max(coalesce((SELECT max(id) FROM items), 0), (SELECT last FROM main.forgotten))"
_WIDTHS = """
SELECT fingerprint, min(length(vector)), max(length(vector)) FROM {0}.models JOIN {0}.embeddings ON model = id
GROUP BY fingerprint
"""
_LATEST = 253_402_300_799  # the last second of the year 9999
_IMPOSSIBLE = """
SELECT 1 FROM items WHERE sightings < 1 OR added_at NOT BETWEEN 0 AND :latest
    OR taken_at NOT BETWEEN 0 AND :latest OR seen_at NOT BETWEEN 0 AND :latest
"""
_EXITS = """
SELECT modality, depth, min(length(vector)), max(length(vector))
FROM models JOIN embeddings ON model = models.id JOIN items ON item = items.id
WHERE fingerprint = ? GROUP BY modality, depth
"""
# No more of each than shows that it is too long. Of an empty blob `substr` gives NULL.
_META = """
SELECT digest, ifnull(substr(CAST(key AS BLOB), 1, 2000), x''), ifnull(substr(CAST(value AS BLOB), 1, 2000), x'')
FROM meta JOIN items ON id = item ORDER BY item
"""
# `there`: by the number in the other database, the one here, and whether the row is new.
_MERGE = """
CREATE TEMP TABLE there (other INTEGER PRIMARY KEY, item INTEGER NOT NULL UNIQUE, is_new INTEGER NOT NULL);
INSERT INTO there SELECT other.id, coalesce(ours.id, other.id + :highest), ours.id IS NULL
    FROM other.items AS other LEFT JOIN main.items AS ours ON ours.digest = other.digest;
INSERT INTO main.items (id, {columns})
    SELECT item, {columns} FROM there JOIN other.items AS o ON o.id = there.other WHERE is_new;
UPDATE main.items SET
    sightings = max(items.sightings, o.sightings),
    seen_at = nullif(max(coalesce(items.seen_at, 0), coalesce(o.seen_at, 0)), 0),
    pinned = max(items.pinned, o.pinned),
    evicted = CASE WHEN items.lost AND o.rejected IS NULL THEN o.evicted
        ELSE items.evicted AND (o.evicted OR o.rejected IS NOT NULL) END,
    rejected = CASE WHEN items.lost AND o.rejected IS NULL THEN NULL ELSE items.rejected END,
    lost = items.lost AND o.rejected IS NOT NULL
    FROM there JOIN other.items AS o ON o.id = there.other WHERE items.id = there.item AND NOT is_new;
INSERT INTO main.meta SELECT item, key, value FROM (
    SELECT there.item, key, value, row_number() OVER (PARTITION BY there.item ORDER BY key) AS place
    FROM there JOIN other.meta AS o ON o.item = there.other
    WHERE NOT EXISTS (SELECT 1 FROM main.meta AS had WHERE had.item = there.item AND had.key = o.key)
) AS lacking WHERE place + (SELECT count(*) FROM main.meta AS had WHERE had.item = lacking.item) <= :most_meta;
DELETE FROM main.kept_back WHERE item IN (
    SELECT item FROM there JOIN other.items AS o ON o.id = there.other WHERE o.rejected IS NULL AND NOT o.evicted);
INSERT OR IGNORE INTO main.models (fingerprint) SELECT fingerprint FROM other.models;
CREATE TEMP TABLE coming AS
    SELECT there.item, ours.id AS model, depth, e.rowid AS row
    FROM other.embeddings AS e
    JOIN there ON there.other = e.item
    JOIN other.models AS theirs ON theirs.id = e.model
    JOIN main.models AS ours ON ours.fingerprint = theirs.fingerprint
    WHERE (SELECT rejected IS NULL FROM main.items WHERE id = there.item) AND NOT EXISTS (
        SELECT 1 FROM main.embeddings AS had
        WHERE had.item = there.item AND had.model = ours.id AND had.depth >= e.depth
    );
DELETE FROM main.embeddings WHERE rowid IN (
    SELECT had.rowid FROM coming JOIN main.embeddings AS had ON had.item = coming.item AND had.model = coming.model);
INSERT INTO main.embeddings SELECT coming.item, coming.model, coming.depth, vector, offset, :sequence
    FROM coming JOIN other.embeddings AS e ON e.rowid = row;
UPDATE main.clock SET first = (SELECT max(id) + 1 FROM main.items);
DROP TABLE coming;
DROP TABLE there
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """What the bundle in use embeds: its fingerprint, its dimension D, and by modality of items where they can leave.

    An index of it has room for nothing else.

    hashes: of the segments of its image tower, see `Manifest.segment_hashes`: activations that it can go on with
    """

    fingerprint: str
    dimension: int
    exits: Mapping[str, frozenset[int]]
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """new: items that were not there before; known: those that were, by their ids there and here.

    shift: what the ids of new items grew by
    """

    new: int
    known: Mapping[int, int]
    shift: int

    def item(self, other: int) -> int:
        """The id here of an item there."""
        return self.known.get(other, other + self.shift)


def check(rows: sqlite3.Connection, bundle: InUse) -> None:
    """Whether an imported database, of the present schema, is what one of ours can be. Raises ArchiveError."""
    (found,) = rows.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok" or rows.execute("PRAGMA foreign_key_check").fetchone():
        raise ArchiveError("its database is damaged")
    if rows.execute("SELECT 1 FROM items WHERE length(digest) != 32 OR id < 1").fetchone():
        raise ArchiveError("its database has an item whose id is none")
    if wide := [name for name, low, high in rows.execute(_WIDTHS.format("main")) if low != high]:
        raise ArchiveError(f"its database has embeddings of several lengths by the bundle {wide[0][:100]}")
    if rows.execute(_IMPOSSIBLE, {"latest": _LATEST}).fetchone():
        raise ArchiveError("its database has an item that never came, or at a time that is none")
    _check_meta(rows)
    for (modality,) in rows.execute("SELECT DISTINCT modality FROM items"):
        if modality not in bundle.exits:
            raise ArchiveError(f"its database has items of the modality {str(modality)[:40]!r}, which is not supported")
    for modality, depth, low, high in rows.execute(_EXITS, (bundle.fingerprint,)):
        if depth not in bundle.exits[modality]:
            raise ArchiveError(f"its database has embeddings of depth {depth}, where the bundle in use has no exit")
        if not low == high == 2 * bundle.dimension:
            raise ArchiveError(f"its database has embeddings of {high} bytes, the bundle's have {2 * bundle.dimension}")


def _check_meta(rows: sqlite3.Connection) -> None:
    for digest, said in itertools.groupby(rows.execute(_META), key=operator.itemgetter(0)):
        if problems := meta_problems({_text(key): _text(value) for _, key, value in said}):
            raise ArchiveError(f"its database has the item {digest.hex()}, whose {problems[0]}")


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")  # which no message could have brought


def check_kinds(path: Path) -> None:
    """Before anything is done with an imported database. Raises ArchiveError when it brings statements of its own."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as rows:
        try:
            kinds = {kind for (kind,) in rows.execute("SELECT DISTINCT type FROM sqlite_master")}
        except sqlite3.DatabaseError as error:
            raise ArchiveError(f"its database cannot be read ({error})") from None
    if kinds - _ONLY:
        raise ArchiveError(f"its database has a {min(kinds - _ONLY)}: it is no memory of reminisce")


@contextlib.contextmanager
def attached(rows: sqlite3.Connection, path: Path) -> Iterator[None]:
    """The other database is `other`; outside a transaction."""
    rows.execute("ATTACH ? AS other", (str(path),))
    try:
        yield
    finally:
        rows.execute("DETACH other")


def merge(rows: sqlite3.Connection) -> Merged:
    """Inside a transaction, with the other database `attached`. Raises ArchiveError when the two do not fit."""
    ours = {name: high for name, _, high in rows.execute(_WIDTHS.format("main"))}
    for name, _, high in rows.execute(_WIDTHS.format("other")):
        if ours.get(name, high) != high:
            raise ArchiveError(f"it has embeddings of another length by the bundle {name[:100]}")
    (highest,) = rows.execute(_HIGHEST).fetchone()
    given = {"highest": highest, "sequence": last_sequence(rows) + 1, "most_meta": MOST_META}
    try:
        for statement in _MERGE.format(columns=_COLUMNS).split(";\n"):
            rows.execute(statement, given)
            if statement.startswith("INSERT INTO there"):
                known = dict(rows.execute("SELECT other, item FROM there WHERE NOT is_new"))
                (new,) = rows.execute("SELECT count(*) FROM there WHERE is_new").fetchone()
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
        raise ArchiveError(f"its database has what no item can have ({error})") from error
    return Merged(new=new, known=known, shift=highest)
