"""Whether the same bytes are there already, and what their sender is told then."""

from __future__ import annotations

import sqlite3

from edge.items import Verdict
from edge.memory.disk.content import ContentStore

_KNOWN = """
SELECT id, rejected, lost, evicted AND modality != 'text',
EXISTS (SELECT 1 FROM embeddings WHERE item = items.id AND model = ?)
FROM items WHERE digest = ? AND id NOT IN (SELECT item FROM forgetting)
"""


def look_up(
    rows: sqlite3.Connection, content: ContentStore, model: int, digest: bytes
) -> tuple[int | None, Verdict | None]:
    """The id of their row, if there is one, and the verdict; without a verdict they are welcome, again if need be.

    So they are when their file is gone against our will, as any note's is, or was evicted and only another bundle has
    embedded it, or when they are about to be forgotten.
    """
    found = rows.execute(_KNOWN, (model, digest)).fetchone()
    if found is None:
        return None, None
    item, rejected, lost, evicted, is_embedded = found
    if rejected is not None and not lost:
        return item, Verdict("rejected", digest, rejected)
    is_there = is_embedded if evicted else content.holds(digest)
    return item, Verdict("duplicate", digest) if is_there else None
