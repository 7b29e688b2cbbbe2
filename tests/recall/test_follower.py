"""The index follows the memory without questions, in a thread that outlives a memory that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.memory import Memory
from edge.recall import Filter, Follower, follower
from edge.runtime import TowerRunner
from waiting import wait_until

NEVER = 1_000_000


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_EVERY_S", 0.01)


@pytest.fixture
def failures() -> list[BaseException]:
    return []


def test_what_is_remembered_is_in_the_index_before_anyone_asks(
    memory: Memory,
    image: TowerRunner,
    pictures: list[Path],
    remember: Callable[..., None],
    failures: list[BaseException],
) -> None:
    filtering = Filter(memory, image.spec, NEVER)
    with Follower((filtering,), failures.append):
        remember(pictures[:3])
        wait_until(lambda: image.spec.exits[0].depth in filtering.depths)
    assert not failures


def test_an_index_that_cannot_follow_says_so_once_and_goes_on(
    memory: Memory,
    image: TowerRunner,
    failures: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    filtering = Filter(memory, image.spec, NEVER)
    tries = 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        raise StoreError("the disk is loose")

    with monkeypatch.context() as broken:
        broken.setattr(filtering._index, "follow", fail)
        with Follower((filtering,), failures.append):
            wait_until(lambda: tries > 3)
            broken.undo()
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "the index cannot follow the memory: the disk is loose"
    ]
    assert not failures


def test_a_mistake_of_ours_is_handed_over(
    memory: Memory, image: TowerRunner, failures: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    filtering = Filter(memory, image.spec, NEVER)

    def fail() -> None:
        raise AssertionError

    monkeypatch.setattr(filtering._index, "follow", fail)
    with Follower((filtering,), failures.append):
        wait_until(lambda: failures)
    assert isinstance(failures[0], AssertionError)
