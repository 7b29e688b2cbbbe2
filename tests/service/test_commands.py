"""What reaches the main thread, in which order, and that no order is left without its reply."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge.errors import RefusedError
from edge.items import Instruction
from edge.service import Commands, Failure, News, Order, Reload, Stop

PING = Instruction(op="ping")
Replies = list["dict[str, Any] | RefusedError"]


@pytest.fixture
def commands() -> Iterator[Commands]:
    """With signals and threads as they were, afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before, hook = [signal.getsignal(number) for number in numbers], threading.excepthook
    yield Commands()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    threading.excepthook = hook


@pytest.mark.parametrize(
    ("number", "command"), [(signal.SIGTERM, Stop()), (signal.SIGINT, Stop()), (signal.SIGHUP, Reload())]
)
def test_signal_becomes_a_command(commands: Commands, number: signal.Signals, command: object) -> None:
    commands.catch_signals()
    os.kill(os.getpid(), number)
    assert commands.next(5) == command


def test_thread_that_nobody_answers_for_becomes_a_failure(commands: Commands) -> None:
    commands.catch_failures()
    error = RuntimeError("lost")

    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert commands.next(5) == Failure(error)


def test_nothing_in_time_is_none(commands: Commands) -> None:
    assert commands.next(0) is None
    assert commands.next(-1) is None


def test_news_are_handed_over(commands: Commands) -> None:
    commands.news()
    assert commands.next(60) == News()


def test_order_is_handed_over_with_its_reply(commands: Commands) -> None:
    replies: Replies = []
    with commands.orders():
        assert commands.order(PING, replies.append)
        order = commands.next(5)
        assert isinstance(order, Order)
        assert order.what == PING
        order.reply({"op": "ping"})
    assert replies == [{"op": "ping"}]


def test_more_orders_than_there_is_room_for_are_not_taken(commands: Commands) -> None:
    replies: Replies = []
    with commands.orders():
        taken = [commands.order(PING, replies.append) for _ in range(100)]
        assert taken == [True] * 64 + [False] * 36
        assert replies == []
    assert len(replies) == 64


def test_order_that_nobody_will_carry_out_is_refused(commands: Commands) -> None:
    early: Replies = []
    waiting: Replies = []
    late: Replies = []
    assert commands.order(PING, early.append)
    with commands.orders():
        assert commands.order(PING, waiting.append)
    assert commands.order(PING, late.append)
    assert [getattr(reply, "code", None) for reply in early + waiting + late] == ["stopping"] * 3
    assert commands.next(0) is None


def test_signal_and_failure_outlast_the_orders_around_them(commands: Commands) -> None:
    error = RuntimeError("lost")
    commands.catch_signals()
    with commands.orders():
        commands.order(PING, lambda _: None)
        os.kill(os.getpid(), signal.SIGHUP)
        commands.order(PING, lambda _: None)
        commands.failed(error)
    assert [commands.next(5), commands.next(5), commands.next(0)] == [Reload(), Failure(error), None]


def test_signals_are_ignored_at_the_end(commands: Commands) -> None:
    commands.catch_signals()
    commands.ignore_signals()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
    assert commands.next(0) is None


def test_stop_comes_before_everything_that_was_put_in_earlier_and_stays_one(commands: Commands) -> None:
    replies: Replies = []
    commands.catch_signals()
    with commands.orders():
        commands.order(PING, replies.append)
        commands.news()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert [commands.next(5) for _ in range(3)] == [Stop()] * 3
    assert [getattr(reply, "code", None) for reply in replies] == ["stopping"]
    assert commands.next(0) == Stop()


def test_ten_reloads_are_one(commands: Commands) -> None:
    commands.catch_signals()
    for _ in range(10):
        os.kill(os.getpid(), signal.SIGHUP)
    assert [commands.next(5), commands.next(0)] == [Reload(), None]
    os.kill(os.getpid(), signal.SIGHUP)
    assert [commands.next(5), commands.next(0)] == [Reload(), None]
