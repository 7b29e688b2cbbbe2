"""Orders about items: one reply each, once it is done, or why it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from disks import Disk
from edge.errors import RefusedError, StoreError
from edge.items import Arrival, Instruction, Selection
from edge.memory import Housekeeping, Memory
from remains import left_of
from waiting import wait_until

Named = Callable[[str], Arrival]
Replies = list["dict[str, Any] | RefusedError"]
ALL = Selection(source="/")


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def house(memory: Memory, failures: list[BaseException]) -> Iterator[Housekeeping]:
    with Housekeeping(memory, failures.append) as house:
        yield house


def order(house: Housekeeping, op: str, *, force: bool = False, selection: Selection = ALL) -> Any:
    """Its reply."""
    replies: Replies = []
    house.order(Instruction(op=op, selection=selection, force=force), replies.append)
    wait_until(lambda: bool(replies), lambda: "no reply")
    return replies[0]


def test_reply_says_how_many_are_gone_and_how_many_stay(house: Housekeeping, memory: Memory, named: Named) -> None:
    memory.accept([named("cat"), named("dog"), named("emu")])
    cat = Selection(digests=(named("cat").digest,))
    assert order(house, "pin", selection=cat) == {"op": "pin", "count": 1}
    assert order(house, "forget") == {"op": "forget", "count": 2, "kept": 1}
    assert order(house, "forget", selection=cat, force=True) == {"op": "forget", "count": 1, "kept": 0}
    assert memory.tally.items == 0


def test_pin_is_undone(house: Housekeeping, memory: Memory, named: Named) -> None:
    memory.accept([named("cat")])
    order(house, "pin")
    assert order(house, "unpin") == {"op": "unpin", "count": 1}
    assert memory._forgetting.pinned == frozenset()


def test_order_at_the_end_and_one_that_waits_are_told_so(memory: Memory, named: Named) -> None:
    memory.accept([named("cat")])
    replies: Replies = []
    begun, may_end = threading.Event(), threading.Event()
    with Housekeeping(memory, lambda _: None) as house:

        def hold(_: object) -> None:
            begun.set()
            may_end.wait(20)

        house.order(Instruction(op="pin", selection=ALL), hold)
        assert begun.wait(20)
        house.order(Instruction(op="forget", selection=ALL), replies.append)
        house._stopping.set()
        may_end.set()
    house.order(Instruction(op="forget", selection=ALL), replies.append)
    assert [getattr(reply, "code", None) for reply in replies] == ["stopping"] * 2
    assert memory.tally.items == 1


def test_more_than_wait_are_refused(memory: Memory) -> None:
    replies: Replies = []
    house = Housekeeping(memory, lambda _: None)
    for _ in range(70):
        house.order(Instruction(op="pin", selection=ALL), replies.append)
    assert [getattr(reply, "code", None) for reply in replies] == ["busy"] * 6


def test_store_that_cannot_be_used_is_answered_and_the_thread_goes_on(
    house: Housekeeping, memory: Memory, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("/secret/folder cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "forget", fail)
        refusal = order(house, "forget")
    assert (refusal.code, "secret" in refusal.message) == ("internal", False)
    assert order(house, "forget") == {"op": "forget", "count": 0, "kept": 0}
    assert failures == []


def test_mistake_of_ours_is_answered_and_ends_the_daemon(
    house: Housekeeping, memory: Memory, monkeypatch: pytest.MonkeyPatch, failures: list[BaseException]
) -> None:
    monkeypatch.setattr(memory, "pin", None)
    assert order(house, "pin").code == "internal"
    wait_until(lambda: bool(failures), lambda: "the failure is not told")
    assert isinstance(failures[0], TypeError)


def test_full_disk_is_told_and_nothing_of_it_is_lost_or_half_done(disk: Disk, named: Named) -> None:
    with Memory(disk.state, "bundle one") as memory, Housekeeping(memory, lambda _: None) as house:
        memory.accept([named("cat")])
        disk.fill_up_to(0)
        refusal = order(house, "forget")
        assert (refusal.code, "the disk is full" in refusal.message) == ("internal", True)
        disk.make_room()
        order(house, "forget")
        assert memory.tally.items == 0
        assert left_of({"digest": named("cat").digest}, disk.state) == []
