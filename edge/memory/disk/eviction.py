"""Which raw content goes, where it must not all be kept: that of the oldest items, once they are embedded.

The row says that the content is gone before the file is deleted: after a kill in between the file is swept. What is
gone cannot be embedded again, so an item that waits for its embedding keeps its content, whatever the limits are. What
waits for a new bundle is not counted, so that there may be twice the limit until that is done: evicted, it would need
the earlier bundle for good; counted, the newest items' content would go for the oldest's. Notes stay, and are not
counted either: what they say is in nothing else, and no later bundle could read them without it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

AT_ONCE = 256  # items a commit; more, and what arrives waits for the files to be deleted
# Evicted together, in parts of the limit: at the limit each new item would cost a commit of its own otherwise.
_SHARE = 100
# Made where content is evicted at all: without it every look would go through what is gone.
_INDEX = """
CREATE INDEX IF NOT EXISTS pictures_with_content ON items (added_at)
WHERE NOT evicted AND rejected IS NULL AND modality != 'text'
"""
_INDEX_BEFORE = "DROP INDEX IF EXISTS items_with_content"  # had notes in it, each of which would be looked at for good
_OLDEST = """
SELECT id, digest, bytes, added_at FROM items
WHERE NOT evicted AND NOT pinned AND rejected IS NULL AND modality != 'text'
AND id NOT IN (SELECT item FROM waiting)
ORDER BY added_at, id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """On the raw content of pictures that are embedded; None: no limit.

    max_bytes: of all together; 0 keeps none
    max_age_s: since it came
    """

    max_bytes: int | None = None
    max_age_s: float | None = None


def evict(rows: sqlite3.Connection, limits: Limits, kept_bytes: int, now: float | None) -> list[tuple[bytes, int]]:
    """Note of at most AT_ONCE items that their content is gone; returns digests and bytes of what is to be deleted.

    kept_bytes: of the raw content of pictures that do not wait to be embedded
    now:        Unix time that the ages are counted to; None where the clock cannot be believed: nothing is too old then
    In a transaction.
    """
    excess = 0 if limits.max_bytes is None else kept_bytes - limits.max_bytes
    if excess > 0 and limits.max_bytes:
        excess += limits.max_bytes // _SHARE
    rows.execute(_INDEX_BEFORE)
    rows.execute(_INDEX)
    oldest = None if now is None or limits.max_age_s is None else now - limits.max_age_s
    gone: list[tuple[bytes, int]] = []
    ids: list[tuple[int]] = []
    for item, digest, size, added_at in rows.execute(_OLDEST, (AT_ONCE,)):
        if excess <= 0 and (oldest is None or added_at >= oldest):
            break
        excess -= size
        gone.append((digest, size))
        ids.append((item,))
    rows.executemany("UPDATE items SET evicted = 1 WHERE id = ?", ids)
    return gone
