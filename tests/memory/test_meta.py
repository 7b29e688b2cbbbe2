"""What senders say of an item: kept with it, narrowed by, and gone with it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edge.items import Arrival, Meta, Selection
from edge.memory import Memory
from edge.memory.rows.database import connect
from edge.memory.rows.traces import Traces, _unused_parts
from edge.memory.rows.transaction import atomic
from remains import left_of

Named = Callable[[str], Arrival]
PLACE = (("place", "Kyoto"),)
BOTH = (*PLACE, ("trip", "2026"))


def add(memory: Memory, one: Arrival, meta: Meta) -> None:
    memory.accept([replace(one, meta=meta)])


def meta_of(memory: Memory, one: Arrival) -> Mapping[str, str]:
    found = memory.find(one.digest)
    assert found is not None
    return dict(found.meta)


def test_it_is_told_of_the_item_also_after_a_restart(state: Path, named: Named) -> None:
    with Memory(state, "bundle one") as memory:
        add(memory, named("cat"), BOTH)
        add(memory, named("dog"), ())
        assert [one.meta for one in memory.waiting(9)] == [BOTH, ()]
    with Memory(state, "bundle one") as memory:
        assert memory.item(1).meta == BOTH


@pytest.mark.parametrize("value", ["", 'it\'s "this"\n\\', "caf\u00e9 \U0001f4f7", "x" * 256, "{}"])
def test_any_value_comes_back_as_it_was(value: str, memory: Memory, named: Named) -> None:
    add(memory, named("cat"), (("a", value),))
    assert memory.item(1).meta == (("a", value),)
    assert memory.admitted(Selection(meta=(("a", value),))).tolist() == [1]


@pytest.mark.parametrize(
    ("meta", "ids"),
    [
        (PLACE, [1, 2]),
        (BOTH, [1]),
        ((("place", "kyoto"),), []),
        ((("place", "Kyo"),), []),
        ((("place", "*"),), []),
        ((("trip", "Kyoto"),), []),
        ((("other", "Kyoto"),), []),
    ],
)
def test_all_that_is_asked_for_must_hold_to_the_letter(
    meta: Meta, ids: list[int], memory: Memory, named: Named
) -> None:
    add(memory, named("cat"), BOTH)
    add(memory, named("dog"), PLACE)
    add(memory, named("bee"), ())
    assert memory.admitted(Selection(meta=meta)).tolist() == ids


def test_it_narrows_together_with_the_rest(memory: Memory, named: Named) -> None:
    add(memory, named("cat"), PLACE)
    add(memory, named("dog"), PLACE)
    assert memory.admitted(Selection(meta=PLACE, source="/pictures/dog")).tolist() == [2]


def test_narrowing_is_answered_by_an_index(memory: Memory) -> None:
    query = "SELECT item FROM meta WHERE key = ? AND value = ?"
    ((*_, plan),) = memory._rows.execute(f"EXPLAIN QUERY PLAN {query}", PLACE[0]).fetchall()
    assert "USING COVERING INDEX meta_by_value" in plan


def test_same_bytes_with_other_metadata_add_keys_and_replace_values(memory: Memory, named: Named) -> None:
    add(memory, named("cat"), BOTH)
    add(memory, named("cat"), (("place", "Nara"), ("who", "me")))
    assert meta_of(memory, named("cat")) == {"place": "Nara", "trip": "2026", "who": "me"}
    memory.describe(named("cat").digest, (("who", "you"),))
    assert meta_of(memory, named("cat")) == {"place": "Nara", "trip": "2026", "who": "you"}
    assert memory.item(1).sightings == 3
    add(memory, named("cat"), ())
    assert meta_of(memory, named("cat")) == {"place": "Nara", "trip": "2026", "who": "you"}


def test_it_does_not_grow_for_ever(memory: Memory, named: Named) -> None:
    for start in range(0, 64, 16):
        add(memory, named("cat"), tuple((f"k{number:02d}", "x") for number in range(start, start + 16)))
    assert list(meta_of(memory, named("cat"))) == [f"k{number:02d}" for number in range(16)]
    add(memory, named("cat"), (("k03", "newer"),))
    assert meta_of(memory, named("cat"))["k03"] == "newer"


def test_what_is_said_of_unknown_bytes_is_not_kept(memory: Memory, named: Named) -> None:
    memory.describe(named("cat").digest, PLACE)
    assert memory._rows.execute("SELECT count(*) FROM meta").fetchone() == (0,)


def test_orders_mean_items_by_it(memory: Memory, named: Named) -> None:
    for text, meta in (("cat", BOTH), ("dog", PLACE), ("bee", ())):
        add(memory, named(text), meta)
    assert memory.pin(Selection(meta=(("trip", "2026"),)), is_pinned=True) == 1
    forgotten = memory.forget(Selection(meta=PLACE))
    assert (forgotten.items, forgotten.pinned) == (1, 1)
    assert [memory.find(named(text).digest) is None for text in ("cat", "dog", "bee")] == [False, True, False]


def said(number: int) -> Meta:
    return (("note", f"nobody may read number {number:04d}"), ("place", "Kyoto"), ("z", str(number % 7)))


def test_forgotten_with_its_item_in_every_form(memory: Memory, state: Path, named: Named) -> None:
    """Rows come in any order of their values, so that pages of the index are split, and copies stay behind."""
    numbers = [number * 7919 % 1_000 for number in range(1_000)]
    memory.accept([replace(named(f"picture {number}"), meta=said(number)) for number in numbers])
    gone = [number for number in numbers if number % 3]
    traces = {str(number): said(number)[0][1].encode() for number in gone}
    assert len({what.split()[0] for what in left_of(traces, state)}) == len(gone)
    memory.forget(Selection(digests=tuple(named(f"picture {number}").digest for number in gone)))
    assert left_of(traces, state) == []
    assert dict(memory.item(1).meta) == dict(said(0))
    assert memory._rows.execute("SELECT count(*) FROM meta").fetchone() == (3 * (1_000 - len(gone)),)


def test_forgotten_with_values_that_newer_ones_took_the_place_of(memory: Memory, state: Path, named: Named) -> None:
    ones = [named(f"picture {number}") for number in range(400)]
    memory.accept([replace(one, meta=(("note", f"first {one.digest.hex()}"),)) for one in ones])
    memory.accept([replace(one, meta=(("note", f"second {one.digest.hex()} and more of it"),)) for one in ones])
    memory.forget(Selection(digests=tuple(one.digest for one in ones[::2])))
    traces = {f"{word} {one.source}": f"{word} {one.digest.hex()}".encode() for one in ones[::2]
              for word in ("first", "second")}  # fmt: skip
    assert left_of(traces, state) == []


def test_crash_while_forgetting_is_finished_for_it_too(state: Path, named: Named) -> None:
    with Memory(state, "bundle one") as memory:
        add(memory, named("cat"), (("note", "a secret of mine"),))
        memory._rows.execute("INSERT INTO forgetting SELECT id, digest FROM items")
    with Memory(state, "bundle one"):
        assert left_of({"note": b"a secret of mine"}, state) == []


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database for metadata of no items."""
    with contextlib.closing(connect(tmp_path / "memory.db")) as rows:
        rows.execute("PRAGMA foreign_keys = OFF")
        yield rows


def checkpoint(rows: sqlite3.Connection) -> None:
    assert rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_copies_of_deleted_rows_are_seen_and_a_new_file_has_none(rows: sqlite3.Connection, tmp_path: Path) -> None:
    file, count = tmp_path / "memory.db", 2_000
    values = [random.Random(number).randbytes(12).hex() for number in range(count)]  # noqa: S311 - not for secrets
    with atomic(rows):
        for number in range(count):
            rows.execute("INSERT INTO meta VALUES (?, 'note', ?)", (number, values[number]))
    gone = [number for number in range(count) if number % 5]
    traces = Traces()
    for number in gone:
        traces.add_meta(number, [("note", values[number])], is_changed=False)
    with atomic(rows):
        rows.executemany("DELETE FROM meta WHERE item = ?", [(number,) for number in gone])
    checkpoint(rows)
    assert any(values[number].encode() in file.read_bytes() for number in gone)
    assert traces.are_in(file)
    rows.execute("VACUUM")
    checkpoint(rows)
    assert not any(values[number].encode() in file.read_bytes() for number in gone)
    assert not traces.are_in(file)


def test_file_need_not_be_written_anew_because_others_have_the_same_metadata(
    rows: sqlite3.Connection, tmp_path: Path
) -> None:
    order = random.Random(1).sample(range(100_000, 102_000), 2_000)  # noqa: S311 - not for secrets
    with atomic(rows):
        rows.executemany("INSERT INTO meta VALUES (?, 'place', 'Kyoto')", [(item,) for item in order])
        rows.execute("INSERT INTO meta VALUES (200000, 'place', 'Kyoto')")
        rows.executemany("DELETE FROM meta WHERE item = ?", [(item,) for item in order[::3]])
    traces = Traces()
    traces.add_meta(200_000, [("place", "Kyoto")], is_changed=False)
    rows.execute("DELETE FROM meta WHERE item = 200000")
    checkpoint(rows)
    assert any(b"placeKyoto" in unused for unused in _unused_parts(tmp_path / "memory.db"))
    assert not traces.are_in(tmp_path / "memory.db")


def test_values_that_newer_ones_took_the_place_of_may_be_anywhere(rows: sqlite3.Connection, tmp_path: Path) -> None:
    checkpoint(rows)
    traces = Traces()
    traces.add_meta(1, [], is_changed=True)
    assert not traces.are_in(tmp_path / "memory.db")
    traces.add_meta(1, [("note", "newer")], is_changed=True)
    assert traces.are_in(tmp_path / "memory.db")


@pytest.mark.parametrize("item", [1, 2, 127, 128, 32_767, 32_768, 8_388_607, 2_147_483_647, 2_147_483_648, 1 << 40])
def test_row_is_looked_for_as_it_is_stored(item: int, rows: sqlite3.Connection, tmp_path: Path) -> None:
    rows.execute("INSERT INTO meta VALUES (?, 'key', 'some value')", (item,))
    checkpoint(rows)
    content = (tmp_path / "memory.db").read_bytes()
    traces = Traces()
    traces.add_meta(item, [("key", "some value")], is_changed=False)
    assert [text in content for text in traces._texts] == [True, True]


def test_import_brings_it_and_keeps_what_is_said_here(memory: Memory, tmp_path: Path, named: Named) -> None:
    other = tmp_path / "other"
    with Memory(other, "bundle one") as there:
        add(there, named("bee"), (("who", "them"),))
        add(there, named("cat"), (("place", "Nara"), ("who", "them")))
    add(memory, named("cat"), PLACE)
    memory.merge(other)
    assert meta_of(memory, named("cat")) == {"place": "Kyoto", "who": "them"}
    assert meta_of(memory, named("bee")) == {"who": "them"}


def test_import_makes_no_item_grow_beyond_what_it_may_have(memory: Memory, tmp_path: Path, named: Named) -> None:
    here, coming = [[f"{where}{number}" for number in range(10)] for where in ("here", "there")]
    with Memory(tmp_path / "other", "bundle one") as there:
        add(there, named("cat"), tuple((key, "v") for key in coming))
    add(memory, named("cat"), tuple((key, "v") for key in here))
    memory.merge(tmp_path / "other")
    assert sorted(meta_of(memory, named("cat"))) == [*here, *coming[:6]]
