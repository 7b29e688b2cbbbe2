"""Which items are not finished so far, the one first that somebody most likely asks for."""

from __future__ import annotations

import sqlite3

import numpy as np

from edge.memory.cache.catalogue import Factors
from edge.memory.cache.worth import likelihood
from edge.memory.index import Rows

_UNFINISHED = """
SELECT id, sightings, coalesce(seen_at, added_at)
FROM (SELECT item FROM embeddings WHERE model = ? GROUP BY item HAVING max(depth) < ?) JOIN items ON id = item
"""
_COLUMNS = [("id", np.int64), ("sightings", np.int64), ("seen_at", np.float64)]


def likeliest_unfinished(rows: sqlite3.Connection, model: int, depth: int, now: float, source: Factors) -> Rows:
    """(N,) ids of items with an embedding, none at `depth` or deeper; of equally likely ones the newest first.

    now:    seconds of Unix time
    source: what the sources of items are worth
    24 bytes an item on the way.
    """
    found = np.fromiter(rows.execute(_UNFINISHED, (model, depth)), dtype=_COLUMNS)
    likely = likelihood(found["sightings"], found["seen_at"], now) * source(found["id"])
    ids: Rows = found["id"][np.lexsort((-found["id"], -likely))]
    return ids
