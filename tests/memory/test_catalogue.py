"""What is cached, by item: names that say everything, tables that readers may look at while they change."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edge.memory.cache.catalogue import FOLDERS, Catalogue, Kept
from edge.memory.cache.worth import Worth

NOW = 1_760_000_000


def kept(item: int, *, segment: int = 1, size: int = 20_000, ms: float = 40, made_by: bytes = b"a" * 16) -> Kept:
    return Kept.of(item, segment, made_by, size, Worth(recompute_ms=ms, seen_at=NOW + 0.9))


@pytest.mark.parametrize("item", [0, 1, 255, 256, 10**17])
def test_name_says_everything_and_is_read_back(item: int) -> None:
    one = kept(item)
    assert Kept.named(one.folder, one.name) == one
    assert one.name == f"{item}-1-1633771873-20000-40000-{NOW}.int4"
    assert one.folder == f"{item % 256:02x}"


@pytest.mark.parametrize(
    "name",
    [
        "7-1-5-20000-40000-9",
        "7-1-5-20000-40000-9.int4.tmp",
        "7-1-5-20000-40000.int4",
        "7-1-5-0-40000-9.int4",
        "-7-1-5-20000-40000-9.int4",
        "7-1-5-20000-4e4-9.int4",
        "7-1-5-20000-40000-9-1.int4",
        "7-1-5-20000-40000-9-02.int4",
        "7-1-5-20000-40000-9.int8",
        "7777777777777777777-1-5-20000-40000-9.int4",
        "8-1-5-20000-40000-9.int4",  # belongs into another folder
        "\u0667-1-5-20000-40000-9.int4",
        "",
    ],
)
def test_name_that_is_not_ours_is_none(name: str) -> None:
    assert Kept.named("07", name) is None


@pytest.mark.parametrize(("sightings", "end"), [(1, ""), (2, "-2"), (10, "-10"), (10**12, "-999999999")])
def test_name_says_how_often_it_came_where_that_is_more_than_once(sightings: int, end: str) -> None:
    one = Kept.of(7, 1, b"a" * 16, 100, Worth(recompute_ms=1, seen_at=NOW, sightings=sightings))
    assert one.name == f"7-1-1633771873-100-1000-{NOW}{end}.int4"
    assert Kept.named("07", one.name) == one


def test_sighting_before_1970_is_a_name_too() -> None:
    one = Kept.of(7, 1, b"a" * 16, 100, Worth(recompute_ms=1, seen_at=-5.0))
    assert Kept.named("07", one.name) == one


def test_files_are_found_counted_and_forgotten() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(1), kept(1 + FOLDERS, size=7), kept(2)])
    assert (catalogue.count, catalogue.size_bytes) == (3, 40_007)
    assert catalogue.find(1 + FOLDERS) == kept(1 + FOLDERS, size=7)
    assert catalogue.drop(kept(1))
    assert (catalogue.find(1), catalogue.find(2)) == (None, kept(2))
    assert (catalogue.count, catalogue.size_bytes) == (2, 20_007)


def test_file_that_was_replaced_meanwhile_is_not_dropped_in_its_place() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(1, segment=2)])
    assert not catalogue.drop(kept(1, segment=1))
    assert not catalogue.drop(kept(3))
    assert (catalogue.count, catalogue.find(1)) == (1, kept(1, segment=2))


def test_least_worth_are_as_few_as_make_the_bytes() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(item, ms=10 * item) for item in range(1, 300)])
    for wanted, count in ((1, 1), (20_000, 1), (20_001, 2), (100_000, 5)):
        assert [one.item for one in catalogue.least_worth(wanted, NOW, np.inf)] == list(range(1, count + 1))
    assert len(catalogue.least_worth(10**12, NOW, np.inf)) == 299


def test_least_worth_are_all_worth_less_than_the_bound() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(item, ms=10 * item) for item in range(1, 10)])
    bound_us_per_byte = 30_000 / 20_000
    assert [one.item for one in catalogue.least_worth(10**6, NOW, bound_us_per_byte)] == [1, 2]
    assert catalogue.least_worth(10**6, NOW, 0) == []


def test_of_a_source_that_is_asked_for_they_are_worth_more() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(item) for item in range(1, 7)])
    least = catalogue.least_worth(60_000, NOW, np.inf, source=lambda items: np.where(items % 2, 0.5, 2.0))
    assert [one.item for one in least] == [1, 3, 5]


def test_empty_catalogue_answers() -> None:
    catalogue = Catalogue()
    assert (catalogue.find(1), catalogue.least_worth(1, NOW, np.inf), catalogue.not_made_by([])) == (None, [], [])


def test_what_other_segments_made_is_told_apart() -> None:
    catalogue = Catalogue()
    catalogue.add([kept(1), kept(2, made_by=b"b" * 16), kept(3, made_by=b"c" * 16)])
    assert [one.item for one in catalogue.not_made_by([b"a" * 16, b"c" * 16])] == [2]


def test_ten_thousand_items_take_half_a_megabyte_of_memory() -> None:
    tracemalloc.start()
    try:
        catalogue = Catalogue()
        for start in range(0, 10_000, 1000):
            catalogue.add([kept(item) for item in range(start, start + 1000)])
        assert tracemalloc.get_traced_memory()[0] < 0.65e6
    finally:
        tracemalloc.stop()
    assert catalogue.count == 10_000
