"""Signals that are held: none is lost, none comes too early, and everything is as before afterwards."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from edge.signals import STOPPING, signals_held


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Which of the signals were handled."""
    heard: list[int] = []
    before = [(number, signal.signal(number, lambda number, _frame: heard.append(number))) for number in STOPPING]
    yield heard
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_signal_is_handled_on_leaving(number: int, heard: list[int]) -> None:
    with signals_held():
        signal.raise_signal(number)
        assert heard == []
    assert heard == [number]


def test_handlers_are_those_of_before(heard: list[int]) -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with signals_held():
        assert [signal.getsignal(number) for number in STOPPING] != before
    assert [signal.getsignal(number) for number in STOPPING] == before
    assert heard == []


def test_signal_comes_through_an_exception(heard: list[int]) -> None:
    def fail() -> None:
        with signals_held():
            signal.raise_signal(signal.SIGTERM)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert heard == [signal.SIGTERM]


def test_exception_of_a_handler_leaves_the_block(heard: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), signals_held():
        signal.raise_signal(signal.SIGINT)
    assert heard == []


def test_ignored_signal_stays_ignored(heard: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals_held():
        signal.raise_signal(signal.SIGHUP)
    assert heard == []
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_held_twice_is_handled_once(heard: list[int]) -> None:
    with signals_held(), signals_held():
        signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
