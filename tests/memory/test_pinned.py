"""What is pinned stays: in the cache, and when others like it are forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.items import Arrival, Embedded, Forgotten, Selection
from edge.memory import Limits, Memory
from edge.memory.cache.worth import Worth

Named = Callable[[str], Arrival]
HASH = b"segment hash 123"


@pytest.fixture
def pets(memory: Memory, named: Named) -> Memory:
    """A cat, which is pinned, and a dog."""
    memory.accept([named("cat"), named("dog")])
    assert memory.pin(Selection(digests=(named("cat").digest,)), is_pinned=True) == 1
    return memory


def test_filter_leaves_what_is_pinned_and_tells_so(pets: Memory) -> None:
    assert pets.forget(Selection(source="/pictures/")) == Forgotten(items=1, pinned=1)
    assert [item.source for item in pets.waiting(9)] == ["/pictures/cat.jpg"]


def test_pinned_item_goes_by_name_and_force_alone(pets: Memory, named: Named) -> None:
    cat = Selection(digests=(named("cat").digest,))
    assert pets.forget(cat) == Forgotten(items=0, pinned=1)
    assert pets.forget(cat, force=True) == Forgotten(items=1, pinned=0)
    assert pets._forgetting.pinned == frozenset()


def test_pin_outlasts_a_restart_and_can_be_undone(state: Path, named: Named) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named("cat")])
        memory.pin(Selection(source="/pictures/"), is_pinned=True)
    with Memory(state, "bundle one") as memory:
        assert memory._forgetting.pinned == {1}
        assert memory.pin(Selection(source="/pictures/"), is_pinned=False) == 1
        assert memory.forget(Selection(source="/pictures/")) == Forgotten(items=1, pinned=0)


def test_pin_of_nothing_pins_nothing(pets: Memory) -> None:
    assert pets.pin(Selection(source="/videos/"), is_pinned=True) == 0
    assert pets._forgetting.pinned == {1}


def test_full_cache_never_evicts_what_is_pinned(pets: Memory) -> None:
    cache = pets.open_activations(2_500)
    tokens = np.random.default_rng(1).standard_normal((40, 64)).astype(np.float32)
    cheap, dear = Worth(recompute_ms=0.001, seen_at=0), Worth(recompute_ms=900, seen_at=1_700_000_000)
    assert cache.put(1, 0, HASH, tokens, 4, cheap)
    assert not cache.put(2, 0, HASH, tokens, 4, dear)
    assert cache.get(1, [HASH]) is not None
    pets.pin(Selection(source="/"), is_pinned=False)
    assert cache.put(2, 0, HASH, tokens, 4, dear)
    assert cache.get(1, [HASH]) is None


def test_raw_content_of_a_pinned_item_outlasts_every_limit(
    pets: Memory, named: Named, embedded: Callable[[int], Embedded]
) -> None:
    pets.index([embedded(1), embedded(2)])
    assert pets.evict(Limits(max_bytes=0)) == 1
    assert [pets.content(pets.item(number)) for number in (1, 2)] == [named("cat").content, None]
