"""The list of what was removed, which tells index files of any age what they hold too much. It is kept short.

An index asks for what came after its files, so what all open ones of a bundle have in theirs can go. The same commit
notes in the bundle's row up to which number its list is gone: no index uses older files, be they of a backup, of a
bundle that was away, or back after a power cut. They are made anew from the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from edge.memory.index import MemoryIndex
from edge.memory.rows.changes import last_sequence

_NOTE = "UPDATE models SET pruned = :settled WHERE id = :model AND pruned < :settled"
_DROP = "DELETE FROM removals WHERE model = :model AND sequence <= :settled"


def pruned(rows: sqlite3.Connection, model: int) -> int:
    """The number up to which a bundle's removals are not listed any more; 0: all are."""
    (number,) = rows.execute("SELECT pruned FROM models WHERE id = ?", (model,)).fetchone()
    return int(number)


def prune(rows: sqlite3.Connection, indexes: Collection[MemoryIndex]) -> None:
    """Drop what none of these needs, all that are open; of a bundle without one that is everything. In a transaction.

    No index may be opened meanwhile: it would miss what goes.
    """
    last = last_sequence(rows)
    for model, fingerprint in rows.execute("SELECT id, fingerprint FROM models").fetchall():
        settled = min((one.settled for one in indexes if one.fingerprint == fingerprint), default=last)
        for statement in (_NOTE, _DROP):
            rows.execute(statement, {"model": model, "settled": settled})
