"""Acknowledgements: in order of arrival, once each, and never on another connection than their message's."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Sequence

import pytest

from edge.mqtt.receipts import Receipt, Receipts


def test_message_is_acknowledged_when_it_is_settled_and_not_before() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    receipt = receipts.arrived(7)
    assert (sent, receipts.pending) == ([], 1)
    receipts.settle(receipt)
    assert (sent, receipts.pending) == ([7], 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_acknowledgements_go_in_order_of_arrival_however_they_are_settled(order: Sequence[int]) -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    arrived = [receipts.arrived(number) for number in (40, 3, 20, 1)]
    for count, place in enumerate(order, 1):
        receipts.settle(arrived[place])
        settled = {arrived[other].number for other in order[:count]}
        assert sent == list(itertools.takewhile(settled.__contains__, (40, 3, 20, 1)))
    assert (sent, receipts.pending) == ([40, 3, 20, 1], 0)


def test_message_that_is_settled_twice_is_acknowledged_once() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    first, second = receipts.arrived(1), receipts.arrived(2)
    for receipt in (first, first, second, first, second):
        receipts.settle(receipt)
    assert sent == [1, 2]


def test_after_the_connection_ended_nothing_of_it_is_acknowledged() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    early, late = receipts.arrived(1), receipts.arrived(2)
    receipts.settle(late)
    receipts.disconnected()
    receipts.settle(early)
    assert (sent, receipts.pending) == ([], 0)


def test_late_settling_does_not_acknowledge_the_message_that_has_its_number_now() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    old = receipts.arrived(1)
    receipts.disconnected()
    new = receipts.arrived(1)
    receipts.settle(old)
    assert (sent, receipts.pending) == ([], 1)
    receipts.settle(new)
    assert sent == [1]


def test_message_left_unsettled_by_the_old_connection_does_not_hold_up_the_new_one() -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    receipts.arrived(1)
    receipts.disconnected()
    receipts.settle(receipts.arrived(2))
    assert sent == [2]


def settle_in_threads(receipts: Receipts, arrived: Sequence[Receipt], threads: int) -> list[threading.Thread]:
    """Started threads that settle each receipt once, all of them in disorder."""
    shuffled = random.sample(arrived, len(arrived))

    def settle(share: Sequence[Receipt]) -> None:
        for receipt in share:
            receipts.settle(receipt)

    running = [threading.Thread(target=settle, args=(shuffled[start::threads],)) for start in range(threads)]
    for thread in running:
        thread.start()
    return running


@pytest.mark.parametrize("_try", range(5))
def test_many_threads_acknowledge_everything_once_and_in_order(_try: int) -> None:
    sent: list[int] = []
    receipts = Receipts(sent.append)
    arrived = [receipts.arrived(number) for number in range(3_000)]
    for thread in settle_in_threads(receipts, arrived, threads=8):
        thread.join()
    assert sent == list(range(3_000))
    assert receipts.pending == 0


def test_connections_that_end_while_many_threads_settle_never_get_an_older_ones_acknowledgement() -> None:
    connection = 0
    sent: list[tuple[int, int]] = []
    receipts = Receipts(lambda number: sent.append((connection, number)))
    running = []
    for number in range(100):
        connection = number
        arrived = [receipts.arrived(1_000 * connection + place) for place in range(50)]
        running += settle_in_threads(receipts, arrived, threads=3)
        receipts.disconnected()
    for thread in running:
        thread.join()
    assert all(number // 1_000 == connection for connection, number in sent)
    assert len(sent) == len(set(sent))
    assert sent == sorted(sent)
    assert receipts.pending == 0
