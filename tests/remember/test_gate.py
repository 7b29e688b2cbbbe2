"""An inbox without room: it says so once, holds what it has, loses nothing, and goes on by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import pytest

from edge.config import RememberConfig
from edge.items import Embedded, Offer, Verdict
from edge.memory import Memory
from edge.remember import Inbox
from edge.remember.inbox import QUEUED_BYTES, QUEUED_OFFERS
from told import Told
from waiting import wait_until

Make = Callable[[RememberConfig], Inbox]
Send = Callable[..., bool]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.remember.inbox._RETRY_S", 0.01)


def embed(memory: Memory, count: int) -> None:
    """Make room, as remembering does."""
    vector = np.eye(8, dtype=np.float32)[0]
    memory.index([Embedded(item=item.id, depth=11, embedding=vector) for item in memory.waiting(count)])


def test_offer_to_a_full_queue_is_refused(inbox: Inbox, send: Send, told: Told) -> None:
    assert [send(inbox, number) for number in range(QUEUED_OFFERS)] == [True] * QUEUED_OFFERS
    assert inbox.queued == QUEUED_OFFERS
    assert send(inbox, QUEUED_OFFERS) is False
    assert inbox.queued == QUEUED_OFFERS
    assert told.verdicts == []


def test_offer_that_would_take_too_many_bytes_is_refused_and_a_small_one_is_not(inbox: Inbox, send: Send) -> None:
    half = bytes(QUEUED_BYTES // 2)
    assert [send(inbox, half), send(inbox, half[:-1]), send(inbox, half)] == [True, True, False]
    assert [send(inbox, b"x"), send(inbox, b"x")] == [True, False]
    assert [send(inbox, path="/a/file"), send(inbox, digest=bytes(32))] == [True, True]  # they weigh nothing


def test_offer_is_never_too_large_for_an_empty_queue(inbox: Inbox, send: Send) -> None:
    assert send(inbox, bytes(QUEUED_BYTES + 1)) is True
    assert send(inbox, b"x") is False


def test_drained_is_said_once_when_half_of_the_queue_is_free_again(inbox: Inbox, told: Told, send: Send) -> None:
    for number in range(QUEUED_OFFERS):
        send(inbox, number)
    for number in range(3):
        assert not send(inbox, number)
    queued_at: list[int] = []
    inbox._on_drained = lambda: queued_at.append(inbox.queued)  # in place of the builder's
    with inbox:
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS)
        wait_until(lambda: queued_at)
        assert send(inbox, 1_000)
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS + 1)
    assert queued_at == [QUEUED_OFFERS // 2]


def test_drained_is_not_said_while_more_than_half_of_the_queue_is_taken(
    inbox: Inbox, told: Told, photo: Callable[[int], bytes], send: Send
) -> None:
    def settle_and_send_more(verdict: Verdict) -> None:
        for number in range(100, 120):
            send(inbox, number)
        told.verdict(verdict)

    inbox.offer(Offer(content=photo(0)), settle_and_send_more)
    for number in range(1, QUEUED_OFFERS):
        send(inbox, number)
    assert not send(inbox, QUEUED_OFFERS)
    queued_at: list[int] = []
    inbox._on_drained = lambda: queued_at.append(inbox.queued)  # in place of the builder's
    with inbox:
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS + 20)
    assert queued_at == [20]


def test_drained_is_not_said_when_nothing_was_refused(inbox: Inbox, told: Told, send: Send) -> None:
    for number in range(QUEUED_OFFERS):
        send(inbox, number)
    with inbox:
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS)
    assert told.drained == 0


def test_drained_is_said_for_bytes_too(inbox: Inbox, told: Told, send: Send) -> None:
    assert [send(inbox, bytes(QUEUED_BYTES)), send(inbox, b"x")] == [True, False]
    with inbox:
        wait_until(lambda: told.drained)
    assert [verdict.state for verdict in told.verdicts] == ["rejected"]


@pytest.mark.parametrize(
    "config",
    [RememberConfig(min_free_mb=0, inbox_items=2), RememberConfig(min_free_mb=0, inbox_mb=1)],
    ids=["items", "bytes"],
)
def test_full_inbox_holds_what_came_and_accepts_it_when_there_is_room(
    config: RememberConfig,
    make_inbox: Make,
    memory: Memory,
    told: Told,
    photo: Callable[[int], bytes],
    send: Send,
) -> None:
    large = bytes(600_000)
    with make_inbox(config) as inbox:
        for number in (1, 2):
            send(inbox, photo(number) + large)
        wait_until(lambda: len(told.verdicts) == 2)
        for number in (3, 4):
            send(inbox, photo(number) + large)
        wait_until(lambda: inbox.gate == "full")
        assert (len(told.verdicts), memory.tally.waiting) == (2, 2)
        embed(memory, 2)
        wait_until(lambda: len(told.verdicts) == 4)
        assert inbox.gate == "open"
    assert [verdict.state for verdict in told.verdicts] == ["accepted"] * 4
    assert told.gates == ["full", "open"]


def test_known_bytes_and_questions_for_bytes_are_answered_while_it_is_full(
    make_inbox: Make, memory: Memory, told: Told, send: Send
) -> None:
    with make_inbox(RememberConfig(min_free_mb=0, inbox_items=1)) as inbox:
        send(inbox, 1)
        wait_until(lambda: told.verdicts)
        send(inbox, 1)
        send(inbox, digest=memory.item(1).digest)
        send(inbox, digest=bytes(32))
        wait_until(lambda: len(told.verdicts) == 4)
    assert [verdict.state for verdict in told.verdicts] == ["accepted", "duplicate", "duplicate", "unknown"]
    assert told.gates == []


def test_disk_with_too_little_room_closes_the_gate_until_there_is_enough(
    make_inbox: Make, told: Told, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [199_999_999]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=1 << 40, used=0, free=free[-1]))
    with make_inbox(RememberConfig(min_free_mb=200)) as inbox:
        send(inbox, 1)
        wait_until(lambda: inbox.gate == "disk_full")
        send(inbox, 2)
        assert told.verdicts == []
        free.append(200_000_000)
        wait_until(lambda: len(told.verdicts) == 2)
    assert [verdict.state for verdict in told.verdicts] == ["accepted"] * 2
    assert told.gates == ["disk_full", "open"]


def test_disk_that_refuses_although_it_says_that_it_has_room_closes_the_gate_once(
    inbox: Inbox,
    memory: Memory,
    told: Told,
    photo: Callable[[int], bytes],
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[str] = []
    memory._rows.set_trace_callback(lambda statement: tried.append(statement) if "BEGIN" in statement else None)
    for number in range(QUEUED_OFFERS):
        inbox.offer(Offer(content=photo(number), source="of some length " * 60), told.verdict)
    with inbox:
        with no_room_for_rows(memory):
            wait_until(lambda: len(tried) >= 5)
            assert (told.gates, told.verdicts) == (["disk_full"], [])
        wait_until(lambda: len(told.verdicts) == QUEUED_OFFERS)
    assert [verdict.state for verdict in told.verdicts] == ["accepted"] * QUEUED_OFFERS
    assert told.gates == ["disk_full", "open"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_leaving_with_the_gate_closed_ends_at_once_and_leaves_what_is_held_unsettled(
    make_inbox: Make, memory: Memory, told: Told, send: Send
) -> None:
    with make_inbox(RememberConfig(min_free_mb=0, inbox_items=1)) as inbox:
        send(inbox, 1)
        wait_until(lambda: told.verdicts)
        for number in range(2, 50):
            send(inbox, number)
        wait_until(lambda: inbox.gate == "full")
    assert told.verdicts == [Verdict("accepted", memory.item(1).digest)]
    assert memory.tally.items == 1
    assert (told.gates, told.failures) == (["full"], [])
