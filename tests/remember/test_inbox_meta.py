"""What a sender says of bytes that are there already: on disk before it hears of it, or it hears something else."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge.items import Meta, Offer, Verdict
from edge.memory import Memory
from edge.remember import Inbox
from edge.remember.inbox import Gate
from told import Told
from waiting import wait_until

Photo = Callable[[int], bytes]
LARGE = tuple((f"key{number:02d}", "\U0001f4f7" * 256) for number in range(16))  # several pages of the database


def offered(content: bytes, meta: Meta, *, by_digest: bool) -> Offer:
    if by_digest:
        return Offer(digest=hashlib.sha256(content).digest(), meta=meta)
    return Offer(content=content, meta=meta)


def on_disk(state: Path) -> Meta:
    """What a process would find that opens the folder now."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        return tuple(rows.execute("SELECT key, value FROM meta ORDER BY key"))


@pytest.mark.parametrize("by_digest", [True, False], ids=["digest", "content"])
def test_duplicate_is_said_when_its_metadata_is_on_disk(
    inbox: Inbox, state: Path, memory: Memory, told: Told, photo: Photo, *, by_digest: bool
) -> None:
    found: list[Meta] = []

    def settle(verdict: Verdict) -> None:
        found.append(on_disk(state))
        told.verdict(verdict)

    inbox.offer(Offer(content=photo(1), meta=(("a", "first"), ("b", "stays"))), settle)
    with inbox:
        wait_until(lambda: len(found) == 1)
        inbox.offer(offered(photo(1), (("a", "newer"), ("c", "")), by_digest=by_digest), settle)
        wait_until(lambda: len(found) == 2)
    assert found == [(("a", "first"), ("b", "stays")), (("a", "newer"), ("b", "stays"), ("c", ""))]
    assert [verdict.state for verdict in told.verdicts] == ["accepted", "duplicate"]
    assert memory.item(1).sightings == 2


def test_same_bytes_in_one_group_have_what_was_said_last(
    inbox: Inbox, memory: Memory, told: Told, photo: Photo
) -> None:
    for value in ("first", "second"):
        inbox.offer(Offer(content=photo(1), meta=(("a", value),)), told.verdict)
    with inbox:
        wait_until(lambda: len(told.verdicts) == 2)
    assert memory.item(1).meta == (("a", "second"),)


def test_without_room_a_digest_is_unknown_so_that_its_sender_keeps_the_bytes(
    inbox: Inbox,
    state: Path,
    told: Told,
    photo: Photo,
    memory: Memory,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    inbox.offer(Offer(content=photo(1)), told.verdict)
    with inbox:
        wait_until(lambda: len(told.verdicts) == 1)
        with no_room_for_rows(memory):
            inbox.offer(offered(photo(1), LARGE, by_digest=True), told.verdict)
            wait_until(lambda: len(told.verdicts) == 2)
    assert told.verdicts[1].state == "unknown"
    assert on_disk(state) == ()


def test_without_room_bytes_wait_until_there_is_some(
    inbox: Inbox,
    state: Path,
    told: Told,
    photo: Photo,
    memory: Memory,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    inbox.offer(Offer(content=photo(1)), told.verdict)
    gates: list[Gate] = ["disk_full"]
    with inbox:
        wait_until(lambda: len(told.verdicts) == 1)
        with no_room_for_rows(memory):
            inbox.offer(offered(photo(1), LARGE, by_digest=False), told.verdict)
            wait_until(lambda: told.gates == gates)
            assert len(told.verdicts) == 1
        wait_until(lambda: len(told.verdicts) == 2)
    assert told.verdicts[1].state == "duplicate"
    assert on_disk(state) == LARGE
    assert memory.tally.items == 1
