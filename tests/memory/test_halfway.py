"""What is kept of an item that left early: under its tower's hashes, with its worth, and never at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.items import Arrival, Floats
from edge.memory import Activations, Halfway, Memory

HASHES = (b"0" * 16, b"1" * 16, b"2" * 16)


@pytest.fixture
def cache(tmp_path: Path) -> Activations:
    return Activations(tmp_path / "activations", 10_000_000)


@pytest.fixture
def tensor() -> Floats:
    return np.random.default_rng(0).standard_normal((1, 9, 64), dtype=np.float32)


def test_what_is_kept_is_found_with_the_segment_to_go_on_with(
    memory: Memory, cache: Activations, tensor: Floats, named: Callable[[str], Arrival]
) -> None:
    memory.accept([named("cat")])
    halfway = Halfway(cache, HASHES, outliers=2)
    assert halfway.find(1) is None
    assert halfway.keep(memory.item(1), 2, tensor, ms=5.0)
    found = halfway.find(1)
    assert found is not None
    following, activation = found
    assert (following, activation.shape) == (2, tensor.shape)
    np.testing.assert_allclose(activation, tensor, atol=0.3)


def test_nothing_is_kept_at_the_end_of_the_tower(
    memory: Memory, cache: Activations, tensor: Floats, named: Callable[[str], Arrival]
) -> None:
    memory.accept([named("cat")])
    assert not Halfway(cache, HASHES, 0).keep(memory.item(1), 3, tensor, ms=5.0)
    assert cache.count == 0


def test_what_another_bundle_left_is_deleted_and_what_the_same_segments_made_stays(
    memory: Memory, cache: Activations, tensor: Floats, named: Callable[[str], Arrival]
) -> None:
    memory.accept([named("cat"), named("dog")])
    first = Halfway(cache, HASHES, 0)
    first.keep(memory.item(1), 1, tensor, ms=5.0)
    first.keep(memory.item(2), 2, tensor, ms=5.0)
    second = Halfway(cache, (HASHES[0], b"x" * 16, b"y" * 16), 0)
    assert cache.count == 1
    assert second.find(1) is not None
    assert second.find(2) is None


def test_worth_is_what_a_segment_usually_takes_and_not_what_one_item_did(
    memory: Memory, cache: Activations, tensor: Floats, named: Callable[[str], Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    spared: list[float] = []
    monkeypatch.setattr(cache, "put", lambda *given: spared.append(given[-1].recompute_ms))
    memory.accept([named("cat")])
    halfway = Halfway(cache, HASHES, 0)
    for ms in (10.0, 10.0, 1_000.0):
        halfway.keep(memory.item(1), 1, tensor, ms)
    assert spared == pytest.approx([10.0, 10.0, 59.5])


def test_nothing_is_kept_while_the_disk_has_no_room_to_spare(
    memory: Memory, cache: Activations, tensor: Floats, named: Callable[[str], Arrival]
) -> None:
    memory.accept([named("cat"), named("dog")])
    room = [True, False]
    halfway = Halfway(cache, HASHES, 0, lambda: room.pop(0))
    assert [halfway.keep(memory.item(number), 1, tensor, ms=5.0) for number in (1, 2)] == [True, False]
    assert cache.count == 1
