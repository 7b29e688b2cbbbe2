"""Which items a narrowing admits, by the database and by hand."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.items import Arrival, Item, Selection, happened_at
from edge.memory import Memory

SOURCES = (
    "cam/a.jpg",
    "cam/b.jpg",
    "cam",
    "Cam/a.jpg",
    "came",
    "caf\u00e9/\U0010fffd",
    "[x]",
    "",
    "x'; DROP TABLE items; --",
)
TIMES = (0.0, 5.0, 5.5, 1e9, None)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    """Every source at every time."""
    with Memory(tmp_path_factory.mktemp("admitting") / "state", "bundle one") as memory:
        arrivals = []
        for source in SOURCES:
            for at in TIMES:
                content = f"{source} {at}".encode()
                digest = hashlib.sha256(content).digest()
                one = Arrival(content=content, digest=digest, modality="image", source=source, taken_at=at)
                arrivals.append(one)
        memory.accept(arrivals)
        yield memory


def admitted(memory: Memory, narrowing: Selection) -> list[Item]:
    numbers = memory.admitted(narrowing).tolist()
    assert numbers == sorted(numbers)
    return [memory.item(number) for number in numbers]


def by_hand(memory: Memory, narrowing: Selection) -> list[int]:
    def fits(item: Item) -> bool:
        source = narrowing.source
        if source is None:
            is_from = True
        elif any(mark in source for mark in "*?["):
            is_from = fnmatch.fnmatchcase(item.source, source)
        else:
            is_from = item.source.startswith(source)
        at = happened_at(item)
        return is_from and (narrowing.since or 0) <= at < (1e18 if narrowing.until is None else narrowing.until)

    items = [memory.item(number) for number in range(1, len(SOURCES) * len(TIMES) + 1)]
    return [item.id for item in items if fits(item)]


moments = st.none() | st.sampled_from([0.0, 4.9, 5.0, 5.1, 5.5, 1e9, 1e10])
patterns = st.none() | st.sampled_from(
    ["cam", "cam/", "cam*", "c?m*", "*.jpg", "C", "zzz", "[x]", "[[]x]", "caf\u00e9/", "x'"]
)


@given(since=moments, until=moments, source=patterns)
def test_database_admits_what_a_look_at_each_item_does(
    filled: Memory, since: float | None, until: float | None, source: str | None
) -> None:
    narrowing = Selection(since=since, until=until, source=source, modality="image")
    assert filled.admitted(narrowing).tolist() == by_hand(filled, narrowing)


def test_first_moment_is_in_and_the_last_is_not(filled: Memory) -> None:
    assert {item.taken_at for item in admitted(filled, Selection(since=5.0, until=5.5))} == {5.0}


def test_what_was_not_dated_counts_by_its_coming(filled: Memory) -> None:
    assert {item.taken_at for item in admitted(filled, Selection(since=1e9 + 1))} == {None}


def test_modality_that_nothing_has_admits_nothing(filled: Memory) -> None:
    assert admitted(filled, Selection(modality="audio")) == []


def test_rejected_item_is_not_admitted(tmp_path: Path) -> None:
    with Memory(tmp_path / "state", "bundle one") as memory:
        digest = hashlib.sha256(b"x").digest()
        memory.accept([Arrival(content=b"x", digest=digest, modality="image", source="a", taken_at=None)])
        assert len(memory.admitted(Selection(source="a"))) == 1
        memory.reject(memory.item(1), "not a picture")
        assert len(memory.admitted(Selection(source="a"))) == 0
