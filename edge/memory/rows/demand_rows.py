"""The table of questions by source: what is counted in memory goes along with the next commit, whoever makes it.

A commit a question would wear the card. A power cut takes the counts since the last commit, which only guess.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator

from edge.memory.cache.demand import Demand
from edge.memory.rows.transaction import atomic

# The next items of whatever source; in pieces, so that no reader holds back the log.
SOURCES = "SELECT id, source FROM items WHERE id > ? AND rejected IS NULL ORDER BY id LIMIT 5000"
_SET = "INSERT OR REPLACE INTO demand VALUES (?, ?)"
_DELETE = "DELETE FROM demand WHERE source = ?"
_HAS_ITEMS = "SELECT 1 FROM items WHERE source = ? LIMIT 1"
_FOLDER_HAS_ITEMS = """
SELECT 1 FROM items WHERE source >= :folder AND source < :folder || :last
AND instr(substr(source, length(:folder) + 1), '/') = 0 LIMIT 1
"""
_LAST = "\U0010ffff"  # no text has it


def counted(rows: sqlite3.Connection) -> dict[str, float]:
    """Questions by source, see demand.py."""
    return dict(rows.execute("SELECT source, questions FROM demand"))


@contextlib.contextmanager
def along(rows: sqlite3.Connection, demand: Demand) -> Iterator[None]:
    """One transaction, `atomic`, and what was counted since the last one goes along."""
    with atomic(rows):
        yield
        pending = demand.pending()
        for source, questions in pending.items():
            # An answer may have named what was forgotten before it was counted.
            if questions and _has_items(rows, source):
                rows.execute(_SET, (source, questions))
            else:
                rows.execute(_DELETE, (source,))
    demand.settled(pending)


def keep(rows: sqlite3.Connection, demand: Demand) -> None:
    """At the end: what no commit took along gets one of its own; on a full disk it is lost."""
    if demand.pending():
        with contextlib.suppress(sqlite3.Error), along(rows, demand):
            pass


def drop_empty(rows: sqlite3.Connection, sources: Iterable[str]) -> list[str]:
    """Those of which there is no item any more, and no count from now on. In a transaction."""
    empty = [source for source in sources if not _has_items(rows, source)]
    rows.executemany(_DELETE, [(source,) for source in empty])
    return empty


def _has_items(rows: sqlite3.Connection, source: str) -> bool:
    if source.endswith("/"):
        return rows.execute(_FOLDER_HAS_ITEMS, {"folder": source, "last": _LAST}).fetchone() is not None
    return rows.execute(_HAS_ITEMS, (source,)).fetchone() is not None
