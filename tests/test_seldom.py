"""A line that anybody can provoke does not fill the log."""

from __future__ import annotations

import logging
import threading

import pytest

from edge.seldom import Seldom

log = logging.getLogger("seldom")


class Clock:
    def __init__(self) -> None:
        self.seconds = 5.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seldom(clock: Clock, caplog: pytest.LogCaptureFixture) -> Seldom:
    caplog.set_level(logging.INFO)
    return Seldom(log, clock.now)


def test_first_is_said_at_once_and_those_of_the_next_minute_are_counted(
    seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1_000):
        seldom.say(logging.INFO, "a message to %s", "query")
        clock.seconds += 0.05
    assert caplog.messages == ["a message to query"]
    clock.seconds += 60
    seldom.say(logging.WARNING, "a message to %s", "control")
    assert caplog.messages[1:] == ["a message to control (and 999 times more since this was said last)"]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_what_happens_once_a_minute_is_said_each_time_without_a_count(
    seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        seldom.say(logging.INFO, "again")
        clock.seconds += 60
    assert caplog.messages == ["again"] * 3


def test_no_line_is_lost_from_the_count_among_threads(
    seldom: Seldom, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def flood() -> None:
        for _ in range(500):
            seldom.say(logging.INFO, "flood")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.seconds += 60
    seldom.say(logging.INFO, "flood")
    assert caplog.messages == ["flood", "flood (and 1999 times more since this was said last)"]
