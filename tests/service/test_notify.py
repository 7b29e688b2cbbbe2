"""What a service manager is told, on a real datagram socket; and that nobody waits for it."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import pytest

from edge.service import Notifier, Systemd, notify
from service_socket import ServiceSocket

Make: TypeAlias = Callable[..., Notifier]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a notifier for an address, with a watchdog's interval or without."""
    with ExitStack() as stack:

        def made(address: str | None, watchdog_s: float | None = None) -> Notifier:
            systemd = Systemd(state=None, credentials=None, notify_socket=address, watchdog_s=watchdog_s)
            return stack.enter_context(closing(Notifier(systemd)))

        yield made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceSocket]:
    with ServiceSocket(str(tmp_path / "notify.sock")) as manager:
        yield manager


def test_ready_comes_with_its_status_in_one_message(manager: ServiceSocket, make: Make) -> None:
    make(manager.address).ready("12 items")
    assert manager.heard() == ["READY=1\nSTATUS=12 items"]


def test_start_asks_for_more_time_than_systemd_gives_by_itself(manager: ServiceSocket, make: Make) -> None:
    make(manager.address).starting()
    (said,) = manager.heard()
    fields = dict(line.split("=", 1) for line in said.splitlines())
    assert fields["STATUS"] == "opening the memory"
    assert int(fields["EXTEND_TIMEOUT_USEC"]) > 120_000_000  # TimeoutStartSec of the unit


def test_reload_says_when_in_the_same_message(manager: ServiceSocket, make: Make) -> None:
    before = time.monotonic_ns() // 1000
    make(manager.address).reloading()
    (said,) = manager.heard()
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", said)
    assert found
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000


def test_stop_is_announced(manager: ServiceSocket, make: Make) -> None:
    make(manager.address).stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_address_with_an_at_sign_is_an_abstract_one(make: Make) -> None:
    with ServiceSocket(f"@reminisce-test-{os.urandom(8).hex()}") as manager:
        make(manager.address).ready("up")
        assert manager.heard() == ["READY=1\nSTATUS=up"]


@pytest.mark.parametrize("address", [None, "/nowhere/notify.sock", "@nobody-listens-here", "", "x" * 300, "\0"])
def test_nobody_who_listens_is_no_error(address: str | None, make: Make) -> None:
    notifier = make(address, watchdog_s=1.0)
    notifier.starting()
    notifier.ready("up")
    notifier.progress()
    notifier.stopping()
    notifier.close()


def test_manager_that_does_not_read_does_not_stop_the_thread_that_feeds_its_watchdog(
    manager: ServiceSocket, make: Make
) -> None:
    notifier = make(manager.address, watchdog_s=1e-6)
    began = time.monotonic()
    for _ in range(10_000):
        notifier.progress()
    assert time.monotonic() - began < 2
    assert 0 < len(manager.heard()) < 10_000  # the rest found the socket full
    notifier.progress()
    assert manager.heard() == ["WATCHDOG=1"]


def test_what_is_said_once_waits_for_a_manager_that_is_slow_to_read(manager: ServiceSocket, make: Make) -> None:
    notifier = make(manager.address, watchdog_s=1e-6)
    for _ in range(10_000):
        notifier.progress()
    heard: list[str] = []
    reader = threading.Timer(0.3, lambda: heard.extend(manager.heard()))
    reader.start()
    notifier.ready("up")
    reader.join()
    assert [*heard, *manager.heard()][-1] == "READY=1\nSTATUS=up"


def test_manager_that_hangs_does_not_hold_a_start_for_ever(
    manager: ServiceSocket, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PATIENCE_S", 1)
    notifier = make(manager.address, watchdog_s=1e-6)
    for _ in range(10_000):
        notifier.progress()
    began = time.monotonic()
    notifier.ready("up")
    assert 0.5 < time.monotonic() - began < 5


def test_manager_that_goes_away_is_no_error(manager: ServiceSocket, make: Make) -> None:
    notifier = make(manager.address)
    manager.close()
    notifier.ready("to nobody")


def test_progress_feeds_the_watchdog_often_enough_and_not_at_each_call(
    manager: ServiceSocket, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = make(manager.address, watchdog_s=0.4)
    moments = iter(range(500))  # a call each millisecond
    monkeypatch.setattr(notify, "time", SimpleNamespace(monotonic=lambda: next(moments) / 1_000))
    heard: list[str] = []
    for _ in range(500):
        notifier.progress()
        heard += manager.heard()
    assert set(heard) == {"WATCHDOG=1"}
    assert 9 <= len(heard) <= 10  # every 50 ms: an eighth of the interval


def test_first_progress_feeds_at_once(manager: ServiceSocket, make: Make) -> None:
    make(manager.address, watchdog_s=60.0).progress()
    assert manager.heard() == ["WATCHDOG=1"]


def test_without_a_watchdog_progress_is_not_told(manager: ServiceSocket, make: Make) -> None:
    make(manager.address).progress()
    assert manager.heard() == []


@pytest.mark.parametrize(("watchdog_s", "tick_s"), [(None, 1.0), (0.4, 0.1), (60.0, 1.0)])
def test_idle_thread_calls_at_least_four_times_in_the_interval(
    watchdog_s: float | None, tick_s: float, make: Make
) -> None:
    assert make(None, watchdog_s).tick_s == pytest.approx(tick_s)


def test_nothing_is_said_after_closing(manager: ServiceSocket, make: Make) -> None:
    notifier = make(manager.address)
    notifier.close()
    notifier.ready("too late")
    assert manager.heard() == []
