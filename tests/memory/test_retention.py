"""The thread that keeps raw content within its limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.errors import DiskFullError
from edge.items import Verdict
from edge.memory import Limits, Memory, Retention
from edge.memory.disk.eviction import AT_ONCE
from waiting import wait_until

Keep = Callable[..., list[Verdict]]
Files = Callable[[Path], list[Path]]
NONE = Limits(max_bytes=0)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks a hundred times a second."""
    monkeypatch.setattr("edge.memory.retention._EVERY_S", 0.01)


def is_running() -> bool:
    return any(thread.name == "retention" for thread in threading.enumerate())


def test_content_goes_soon_after_its_item_is_embedded(memory: Memory, keep: Keep, content_files: Files) -> None:
    failures: list[BaseException] = []
    with Retention(memory, NONE, failures.append):
        keep(memory, "ape", "bee")
        wait_until(lambda: content_files(memory.folder) == [])
        keep(memory, "cat")
        wait_until(lambda: content_files(memory.folder) == [])
    assert failures == []
    assert not is_running()


def test_a_new_limit_on_a_large_memory_is_reached_in_one_go(memory: Memory, keep: Keep, content_files: Files) -> None:
    keep(memory, *map(str, range(2 * AT_ONCE + 1)))
    Retention(memory, NONE, lambda _: None).keep_within()
    assert content_files(memory.folder) == []


def test_without_limits_there_is_no_thread(memory: Memory) -> None:
    with Retention(memory, Limits(), lambda _: None):
        assert not is_running()


def test_full_disk_is_said_once_and_waited_for(
    memory: Memory, keep: Keep, content_files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[Limits] = []

    def full(limits: Limits) -> int:
        tries.append(limits)
        raise DiskFullError("no room")

    keep(memory, "ape")
    failures: list[BaseException] = []
    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setattr(memory, "evict", full)
        stack.enter_context(Retention(memory, NONE, failures.append))
        wait_until(lambda: len(tries) > 3)
        patch.undo()
        wait_until(lambda: content_files(memory.folder) == [])
    assert caplog.messages == ["raw content is not kept within its limits: no room"]
    assert failures == []


def test_mistake_of_ours_ends_the_daemon(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    monkeypatch.setattr(memory, "evict", lambda _: 1 // 0)
    with Retention(memory, NONE, failures.append):
        wait_until(lambda: failures)
    assert isinstance(failures[0], ZeroDivisionError)
