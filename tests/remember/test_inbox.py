"""Offers in, durable items out: what is said of each, and when it becomes true."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.config import RememberConfig
from edge.errors import StoreError
from edge.items import Arrival, Offer, Verdict
from edge.memory import Memory
from edge.remember import Inbox
from edge.remember.inbox import GROUP, QUEUED_BYTES, QUEUED_OFFERS
from told import Told
from waiting import wait_until

Send = Callable[..., bool]
Photo = Callable[[int], bytes]
Durable = Callable[[str], set[bytes]]


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def states(told: Told) -> list[str]:
    return [verdict.state for verdict in told.verdicts]


def test_offer_becomes_an_item_that_waits(inbox: Inbox, memory: Memory, told: Told, photo: Photo) -> None:
    with inbox:
        assert inbox.offer(Offer(content=photo(1), source="the door", taken_at=1_700_000_000.0), told.verdict)
        wait_until(lambda: told.verdicts)
    assert told.verdicts == [Verdict("accepted", digest(photo(1)))]
    assert told.threads == {"inbox"}
    (item,) = memory.waiting(9)
    assert (item.modality, item.source, item.taken_at, item.bytes) == (
        "image",
        "the door",
        1_700_000_000.0,
        len(photo(1)),
    )
    assert memory.content(item) == photo(1)
    assert (told.accepted, told.gates, told.drained, told.failures) == (1, [], 0, [])


def test_accepted_is_said_when_content_and_row_are_on_disk(inbox: Inbox, photo: Photo, durable: Durable) -> None:
    found: list[bool] = []
    for number in range(40):
        inbox.offer(Offer(content=photo(number)), lambda verdict: found.append(verdict.digest in durable("waiting")))
    with inbox:
        wait_until(lambda: len(found) == 40)
    assert found == [True] * 40


@pytest.mark.parametrize(("offers", "groups"), [(1, 1), (GROUP, 1), (GROUP + 1, 2), (QUEUED_OFFERS, 2)])
def test_offers_that_wait_together_share_a_commit_of_at_most_32(
    offers: int, groups: int, inbox: Inbox, told: Told, send: Send, commits: list[str]
) -> None:
    for number in range(offers):
        assert send(inbox, number)
    with inbox:
        wait_until(lambda: len(told.verdicts) == offers)
    assert states(told) == ["accepted"] * offers
    assert len(commits) == told.accepted == groups


def test_offers_shortly_after_each_other_share_a_commit(
    inbox: Inbox, told: Told, send: Send, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.remember.inbox.GATHER_S", 0.5)
    with inbox:
        for number in range(5):
            send(inbox, number)
            time.sleep(0.02)
        assert told.verdicts == []
        wait_until(lambda: len(told.verdicts) == 5)
    assert len(commits) == 1


def test_verdicts_come_in_the_order_of_the_offers(inbox: Inbox, told: Told, photo: Photo, send: Send) -> None:
    for number in range(QUEUED_OFFERS):
        send(inbox, number)
    with inbox:
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS)
    assert [verdict.digest for verdict in told.verdicts] == [digest(photo(number)) for number in range(QUEUED_OFFERS)]


def test_same_bytes_are_a_duplicate_in_the_same_group_and_later(
    inbox: Inbox, memory: Memory, told: Told, send: Send, commits: list[str]
) -> None:
    for number in (1, 2, 1):
        send(inbox, number)
    with inbox:
        wait_until(lambda: len(told.verdicts) == 3)
        assert states(told) == ["accepted", "accepted", "duplicate"]
        send(inbox, 2)
        wait_until(lambda: len(told.verdicts) == 4)
    assert states(told)[3] == "duplicate"
    assert (memory.tally.items, len(commits)) == (2, 2)  # the group, and that one was seen again
    assert [memory.item(number).sightings for number in (1, 2)] == [2, 2]


@pytest.mark.parametrize("content", [b"Dear diary", b"", b"\xff\xd8\xff"])
def test_unreadable_content_is_rejected_before_it_is_stored(
    content: bytes,
    inbox: Inbox,
    memory: Memory,
    told: Told,
    send: Send,
    commits: list[str],
    state: Path,
    content_files: Callable[[Path], list[Path]],
) -> None:
    send(inbox, content)
    with inbox:
        wait_until(lambda: told.verdicts)
    (verdict,) = told.verdicts
    assert (verdict.state, verdict.digest) == ("rejected", digest(content))
    assert verdict.reason.startswith("not a picture of a known kind (JPEG, PNG, ")
    assert (memory.tally.items, memory.known(digest(content)), content_files(state)) == (0, None, [])
    assert (commits, told.accepted) == ([], 0)


def test_what_is_unreadable_takes_nothing_from_its_group(
    inbox: Inbox, told: Told, photo: Photo, send: Send, commits: list[str]
) -> None:
    for content in (1, b"Dear diary", 2, b"", 3):
        send(inbox, content)
    with inbox:
        wait_until(lambda: len(told.verdicts) == 5)
    assert Counter(states(told)) == {"accepted": 3, "rejected": 2}
    accepted = [verdict.digest for verdict in told.verdicts if verdict.state == "accepted"]
    assert accepted == [digest(photo(number)) for number in (1, 2, 3)]
    assert len(commits) == 1


def test_digest_alone_is_answered_with_what_its_bytes_would_be(
    inbox: Inbox, memory: Memory, told: Told, photo: Photo, send: Send, commits: list[str]
) -> None:
    for number in (1, 2):
        send(inbox, number)
    with inbox:
        wait_until(lambda: len(told.verdicts) == 2)
        memory.reject(memory.item(2), "damaged")
        for number in (1, 2, 3):
            send(inbox, digest=digest(photo(number)))
        wait_until(lambda: len(told.verdicts) == 5)
    assert told.verdicts[2:] == [
        Verdict("duplicate", digest(photo(1))),
        Verdict("rejected", digest(photo(2)), "damaged"),
        Verdict("unknown", digest(photo(3))),
    ]
    assert (memory.tally.items, told.accepted) == (1, 1)
    assert len(commits) == 3  # the group, the rejection, and that one was seen again
    assert memory.item(1).sightings == 2


def test_bytes_that_were_rejected_later_are_rejected_at_once_with_the_same_reason(
    inbox: Inbox, memory: Memory, told: Told, send: Send
) -> None:
    with inbox:
        send(inbox, 1)
        wait_until(lambda: told.verdicts)
        memory.reject(memory.item(1), "not a picture that can be read")
        send(inbox, 1)
        wait_until(lambda: len(told.verdicts) == 2)
    assert (told.verdicts[1].state, told.verdicts[1].reason) == ("rejected", "not a picture that can be read")


def test_several_senders_get_one_verdict_for_each_offer_that_was_taken(
    inbox: Inbox, memory: Memory, told: Told, send: Send
) -> None:
    def keep_sending(start: int) -> int:
        numbers = [(start + step) % 100 for step in range(50)]
        for number in numbers:
            while not send(inbox, number):
                time.sleep(0.001)
        return len(numbers)

    with inbox, ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(keep_sending, range(0, 200, 25)))
        wait_until(lambda: len(told.verdicts) == taken)
    assert Counter(states(told)) == {"accepted": 100, "duplicate": taken - 100}
    assert memory.tally.items == memory.tally.waiting == 100
    assert told.failures == []


def test_leaving_settles_nothing_that_is_not_on_disk_and_leaves_nothing_that_was_not_settled(
    make_inbox: Callable[[RememberConfig], Inbox], told: Told, send: Send, durable: Durable
) -> None:
    for turn in range(12):
        with make_inbox(RememberConfig(min_free_mb=0)) as inbox:
            for number in range(QUEUED_OFFERS):
                send(inbox, 1_000 * turn + number)
            time.sleep(0.002 * turn)
        assert {verdict.digest for verdict in told.verdicts} == durable("waiting")
        assert "inbox" not in {thread.name for thread in threading.enumerate()}
    assert set(states(told)) == {"accepted"}
    assert len(told.verdicts) < 12 * QUEUED_OFFERS


def test_error_of_the_memory_reaches_whoever_runs_it_and_settles_nothing(
    inbox: Inbox, memory: Memory, told: Told, send: Send
) -> None:
    memory._rows.execute("PRAGMA query_only = ON")
    with inbox:
        send(inbox, 1)
        wait_until(lambda: told.failures)
    (error,) = told.failures
    assert isinstance(error, StoreError)
    assert "attempt to write a readonly database" in str(error)
    assert (told.verdicts, told.accepted) == ([], 0)


def test_large_files_of_one_group_are_not_all_in_memory_at_once(
    make_inbox: Callable[[RememberConfig], Inbox],
    memory: Memory,
    told: Told,
    photo: Photo,
    send: Send,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    accept = memory.accept

    def weigh_and_accept(batch: list[Arrival]) -> list[Verdict]:
        held.append(sum(len(one.content) for one in batch))
        return accept(batch)

    monkeypatch.setattr(memory, "accept", weigh_and_accept)
    size = QUEUED_BYTES // 3
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(photo(number) + bytes(size))
    inbox = make_inbox(RememberConfig(min_free_mb=0, roots=(str(tmp_path),)))
    for number in range(8):
        send(inbox, path=tmp_path / f"{number}.png")
    with inbox:
        wait_until(lambda: len(told.verdicts) == 8)
    assert states(told) == ["accepted"] * 8
    assert max(held) <= QUEUED_BYTES + size + 1_000
