"""What waits for the broker is called once, whether the broker or the word that somebody waits comes first."""

from __future__ import annotations

import random
import threading
import time

import pytest

from edge.mqtt.deliveries import Deliveries


def test_what_waits_for_a_message_is_called_when_the_broker_has_it() -> None:
    called: list[int] = []
    deliveries = Deliveries()
    deliveries.expect(7, lambda: called.append(7))
    deliveries.arrived(6)
    assert called == []
    deliveries.arrived(7)
    deliveries.arrived(7)
    assert called == [7]


def test_what_waits_for_a_message_that_the_broker_has_already_is_called_at_once() -> None:
    called: list[int] = []
    deliveries = Deliveries()
    deliveries.arrived(7)
    deliveries.expect(7, lambda: called.append(7))
    assert called == [7]


def test_number_that_comes_round_again_is_another_message() -> None:
    called: list[str] = []
    deliveries = Deliveries()
    deliveries.arrived(1)
    deliveries.expect(1, lambda: called.append("first"))
    deliveries.expect(1, lambda: called.append("second"))
    assert called == ["first"]
    deliveries.arrived(1)
    assert called == ["first", "second"]


def test_messages_that_nobody_waits_for_are_forgotten() -> None:
    called: list[int] = []
    deliveries = Deliveries()
    for number in range(1000):
        deliveries.arrived(number)
    deliveries.expect(0, lambda: called.append(0))
    assert called == []


def test_what_is_called_may_send_the_next_message() -> None:
    called: list[int] = []
    deliveries = Deliveries()
    deliveries.expect(1, lambda: deliveries.expect(2, lambda: called.append(2)))
    deliveries.arrived(1)
    deliveries.arrived(2)
    assert called == [2]


@pytest.mark.parametrize("_try", range(5))
def test_two_threads_call_everything_once_in_whatever_order_they_come(_try: int) -> None:
    called: list[int] = []
    deliveries = Deliveries()

    def expect() -> None:
        for number in range(200):
            deliveries.expect(number, lambda number=number: called.append(number))  # type: ignore[misc]

    def arrive() -> None:
        for number in random.sample(range(200), 200):
            deliveries.arrived(number)

    threads = [threading.Thread(target=work) for work in (expect, arrive)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(called) == list(range(200))


def test_early_answer_that_is_old_is_not_taken_for_the_new_message_of_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.mqtt.deliveries._EARLY_S", 0.05)
    called: list[str] = []
    deliveries = Deliveries()
    deliveries.arrived(7)  # of a message that nobody waited for
    time.sleep(0.06)
    deliveries.expect(7, lambda: called.append("new"))
    assert called == []
    deliveries.arrived(7)
    assert called == ["new"]
