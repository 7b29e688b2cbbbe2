"""One commit of what arrived: new items, such whose content comes back, and such that are there already."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from edge.items import Arrival, Meta, Verdict
from edge.memory.cache.worth import Seen
from edge.memory.disk.clock import Clock
from edge.memory.disk.content import ContentStore
from edge.memory.rows.item_rows import insert, renew, sight
from edge.memory.rows.known import look_up
from edge.memory.rows.meta_rows import describe, describe_known
from edge.memory.rows.transaction import atomic
from edge.memory.rows.turns import join


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch.

    verdicts: of each, in its order
    waiting:  id and bytes of each that waits for its embedding now
    renewed:  whether content of known items came back, so that what was counted of them no longer holds
    seen:     items that were there already
    """

    verdicts: list[Verdict]
    waiting: list[tuple[int, int]]
    renewed: bool
    seen: list[Seen]


def accept(
    rows: sqlite3.Connection, content: ContentStore, model: int, batch: Sequence[Arrival], clock: Clock, change: int
) -> Accepted:
    """All or nothing; `change` is the number of the commit. Raises OSError, sqlite3.Error."""
    written: list[bytes] = []
    verdicts: list[Verdict] = []
    waiting: list[tuple[int, int]] = []
    seen: list[Seen] = []
    renewed = False
    try:
        with atomic(rows):
            now = clock.follow(rows)
            for one in batch:
                found, verdict = look_up(rows, content, model, one.digest)
                verdicts.append(verdict or Verdict("accepted", one.digest))
                if verdict is None:
                    written += [one.digest] if content.put(one.digest, one.content) else []
                    item = found or insert(rows, one, now)
                    if found:
                        renew(rows, model, found, now, change)
                    join(rows, item)
                    describe(rows, item, one.meta)
                    waiting.append((item, len(one.content)))
                    renewed = renewed or bool(found)
                elif verdict.state == "duplicate":
                    seen += sight(rows, one.digest, now)
                    describe_known(rows, one.digest, one.meta)
    except BaseException:
        content.remove(written)
        raise
    return Accepted(verdicts, waiting, renewed, seen)


def come_again(rows: sqlite3.Connection, digests: Sequence[bytes], meta: Meta, clock: Clock) -> list[Seen]:
    """The same bytes as known items', of all of which this is said. In a transaction."""
    now = clock.follow(rows)
    seen: list[Seen] = []
    for digest in digests:
        seen += sight(rows, digest, now)
        describe_known(rows, digest, meta)
    return seen
