"""What is forgotten is gone from every file of the state folder, whatever was going on, also after a crash."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DiskFullError, RefusedError, StoreError
from edge.items import Arrival, Embedded, Selection
from edge.memory import Memory
from edge.memory.cache.activations import Activations
from edge.memory.cache.worth import Worth
from edge.memory.index import Limits, MemoryIndex
from edge.memory.index.blocks import Block
from edge.memory.rows.database import connect, connect_reader
from indexes import SCALES, settle, unit_rows
from remains import left_of

COUNT, ONE = 60, 23  # how many there are, and the id of the one that is forgotten
HASH = b"segment hash 123"
TOKENS = np.random.default_rng(5).standard_normal((COUNT + 1, 10, 64)).astype(np.float32)
VECTORS = unit_rows(COUNT + 1, seed=9)


def arrival(number: int) -> Arrival:
    content = b"a picture of number %d, " % number + np.random.default_rng(number).bytes(3_000)
    return Arrival(
        content=content,
        digest=hashlib.sha256(content).digest(),
        modality="image",
        source=f"/pictures/{'odd' if number % 2 else 'even'}/whose name is {number:03d}.jpg",
        taken_at=1_000.0 + number,
    )


def put(cache: Activations, item: int) -> bool:
    return cache.put(item, 0, HASH, TOKENS[item], 4, Worth(recompute_ms=40, seen_at=1_700_000_000))


def fill(memory: Memory) -> None:
    """Items 1 to COUNT: content, embedding at depth 3, activation."""
    memory.accept([arrival(number) for number in range(1, COUNT + 1)])
    memory.index([Embedded(item=number, depth=3, embedding=VECTORS[number]) for number in range(1, COUNT + 1)])
    cache = memory.open_activations(10**8)
    assert all(put(cache, number) for number in range(1, COUNT + 1))


def open_index(memory: Memory, forest_from: int = 10**9) -> MemoryIndex:
    """One that seals after ten rows."""
    limits = Limits(forest_from=forest_from, shortest_tail=10)
    index = MemoryIndex(
        memory.folder / "index", "image", memory.feed(), fingerprint="bundle one", scales=SCALES, limits=limits
    )
    memory._forgetting.indexes.append(index)
    return index


def traces_of(memory: Memory, number: int) -> dict[str, bytes]:
    """Every form in which an item is on disk."""
    one = arrival(number)
    (sealed,) = (memory.folder / "index").glob("image-03.*")
    centre = np.fromfile(sealed / "centre", "<f4")
    row = Block.of(np.array([number]), VECTORS[[number]], np.zeros(1, np.float32), centre)
    (activation,) = (memory.folder / "activations").rglob(f"{number}-*.int4")
    return {
        "content": one.content[:64],
        "digest": one.digest,
        "digest in hex": one.digest.hex().encode(),
        "source": one.source.encode(),
        "float32": VECTORS[number].tobytes(),
        "float16": VECTORS[number].astype("<f2").tobytes(),
        "half a float16": VECTORS[number].astype("<f2").tobytes()[:24],
        "int8": row.codes.tobytes(),
        "activation": activation.read_bytes()[60:160],
    }


def of(*numbers: int) -> Selection:
    return Selection(digests=tuple(arrival(number).digest for number in numbers))


@pytest.fixture
def filled(memory: Memory) -> Iterator[Memory]:
    """With sealed index files."""
    fill(memory)
    with open_index(memory) as index:
        settle(index)
        yield memory


def test_no_byte_is_left_in_any_form_while_the_memory_is_open(filled: Memory, state: Path) -> None:
    traces = traces_of(filled, ONE)
    assert {what.partition(" in ")[0] for what in left_of(traces, state)} >= {
        "content", "digest", "source", "float16", "half a float16", "int8", "activation",
    }  # fmt: skip
    assert filled.forget(of(ONE)).items == 1
    assert left_of(traces, state) == []
    with pytest.raises(KeyError):
        filled.item(ONE)
    assert (filled.tally.items, dict(filled.tally.exits)) == (COUNT - 1, {3: COUNT - 1})


def test_index_files_of_an_earlier_bundle_go_where_it_is_away_and_are_followed_where_it_is_open(state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory)
    limits = Limits(forest_from=10**9, shortest_tail=10)
    for is_away in (True, False):
        with Memory(state, "bundle two") as memory:
            (origin,) = memory.origins
            folder = state / "index" / f"earlier-{origin.number}"
            with memory.open_earlier_index(origin, "image", SCALES, 10**9) as index:
                index._limits = limits
                settle(index)
                assert list(folder.glob("image-03.*"))
                if not is_away:
                    memory.forget(of(ONE + 1))
                    assert folder.is_dir()
                    assert len(index) == COUNT - 2
        if is_away:
            with Memory(state, "bundle two") as memory:
                float16 = {"v": VECTORS[ONE].astype("<f2").tobytes()}
                assert any("earlier" in what for what in left_of(float16, state))
                memory.forget(of(ONE))
                assert left_of(float16, state) == []


def test_the_others_stay_whole_and_are_found_as_before(filled: Memory, state: Path) -> None:
    (index,) = filled._forgetting.indexes
    before = index.search(3, VECTORS[ONE], COUNT).ids.tolist()
    filled.forget(of(ONE))
    index.refresh()
    assert index.search(3, VECTORS[ONE], COUNT).ids.tolist() == [item for item in before if item != ONE]
    assert filled.content(filled.item(ONE + 1)) == arrival(ONE + 1).content
    cache = filled._forgetting._caches[0]
    assert cache.get(ONE, [HASH]) is None
    assert cache.get(ONE + 1, [HASH]) is not None
    assert (state / "memory.db-wal").stat().st_size == 0


def test_index_files_that_are_being_made_are_given_up(filled: Memory, state: Path) -> None:
    (index,) = filled._forgetting.indexes
    traces = traces_of(filled, ONE)
    more = range(COUNT + 1, COUNT + 41)
    filled.accept([arrival(number) for number in more])
    rows = unit_rows(len(more))
    filled.index([Embedded(item=item, depth=3, embedding=row) for item, row in zip(more, rows, strict=True)])
    index.follow()
    assert index.builder_pid is not None
    filled.forget(of(ONE, COUNT + 2))
    assert index.builder_pid is None
    assert left_of({**traces, "new": arrival(COUNT + 2).digest}, state) == []
    settle(index)
    assert len(index) == COUNT + 38
    assert left_of(traces, state) == []


def test_all_at_once_can_be_forgotten(filled: Memory, state: Path) -> None:
    sources = {str(number): arrival(number).source.encode() for number in range(1, COUNT + 1)}
    digests = {f"{number}d": arrival(number).digest for number in range(1, COUNT + 1)}
    assert filled.forget(Selection(source="*")).items == COUNT
    assert left_of({**sources, **digests, "v": VECTORS[1].astype("<f2").tobytes()}, state) == []
    assert filled.tally.items == 0
    assert filled.partitions() == ()


def test_item_that_waits_is_gone_and_what_was_made_of_it_is_not_kept(memory: Memory, state: Path) -> None:
    memory.accept([arrival(1), arrival(2)])
    (_, waits) = memory.waiting(9)
    cache = memory.open_activations(10**8)
    memory.forget(of(2))  # while its embedding is being made
    both = [Embedded(item=number, depth=3, embedding=VECTORS[number]) for number in (1, 2)]
    assert memory.index(both) == {1}
    assert not put(cache, waits.id)
    assert not memory.reject(waits, "its content is gone", is_lost=True)
    assert left_of({"d": arrival(2).digest, "v": VECTORS[2].astype("<f2").tobytes()}, state) == []
    assert (memory.tally.items, memory.tally.waiting, memory.tally.rejected) == (1, 0, 0)
    assert [path for path in (state / "activations").rglob("*") if path.is_file()] == []


def test_id_of_a_forgotten_item_is_never_given_to_another(state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([arrival(1), arrival(2)])
        memory.forget(of(2))
    with Memory(state, "bundle one") as memory:
        memory.accept([arrival(3)])
        assert [item.id for item in memory.waiting(9)] == [1, 3]


def test_what_comes_again_is_a_new_item(memory: Memory) -> None:
    memory.accept([arrival(1)])
    memory.forget(of(1))
    assert memory.known(arrival(1).digest) is None
    assert [verdict.state for verdict in memory.accept([arrival(1)])] == ["accepted"]
    assert memory.content(memory.item(2)) == arrival(1).content


def test_what_comes_again_while_it_is_forgotten_is_accepted_and_stays(memory: Memory) -> None:
    memory.accept([arrival(1)])
    memory._write(lambda: memory._forgetting._note(of(1), force=False))
    assert memory.known(arrival(1).digest) is None
    assert [verdict.state for verdict in memory.accept([arrival(1)])] == ["accepted"]
    assert memory.forget(of(9)).items == 0  # goes on with what is noted
    assert memory.content(memory.item(2)) == arrival(1).content
    assert (memory.tally.items, [item.id for item in memory.waiting(9)]) == (1, [2])


def test_a_change_while_rows_are_removed_is_seen_by_the_index(filled: Memory) -> None:
    (index,) = filled._forgetting.indexes
    filled._write(lambda: filled._forgetting._note(of(ONE), force=False))
    filled._write(filled._forgetting._remove_some)
    index.refresh()
    filled.accept([arrival(COUNT + 1)])
    filled.index([Embedded(item=COUNT + 1, depth=3, embedding=VECTORS[0])])
    index.refresh()
    assert index.search(3, VECTORS[0], 1).ids.tolist() == [COUNT + 1]
    assert ONE not in index.search(3, VECTORS[ONE], COUNT).ids.tolist()


def test_nothing_that_is_meant_is_nothing_done(memory: Memory, statements: list[str]) -> None:
    assert memory.forget(of(1)).items == 0
    assert not [said for said in statements if said.startswith(("DELETE", "VACUUM", "PRAGMA"))]


@pytest.mark.parametrize(
    ("selection", "gone"),
    [
        (Selection(source="/pictures/odd/"), [1, 3, 5]),
        (Selection(source="/Pictures/odd/"), []),
        (Selection(source="*/whose name is 00[24].jpg"), [2, 4]),
        (Selection(source="*name"), []),
        (Selection(source="/pictures/even/whose name is 00%"), []),
        (Selection(since=1_003), [3, 4, 5, 6]),
        (Selection(until=1_003), [1, 2]),
        (Selection(since=1_002, until=1_005, source="/pictures/even/"), [2, 4]),
        (Selection(digests=(arrival(2).digest, arrival(3).digest), until=1_003), [2]),
        (Selection(digests=()), []),
    ],
)
def test_all_conditions_must_hold(memory: Memory, selection: Selection, gone: Sequence[int]) -> None:
    memory.accept([arrival(number) for number in range(1, 7)])
    assert memory.forget(selection).items == len(gone)
    assert [item.id for item in memory.waiting(9)] == [number for number in range(1, 7) if number not in gone]


def test_item_without_a_time_of_its_own_counts_by_when_it_came(memory: Memory) -> None:
    one = arrival(1)
    memory.accept(
        [Arrival(content=one.content, digest=one.digest, modality="image", source="a", taken_at=None)],
    )
    assert memory.forget(Selection(until=1_000_000)).items == 0
    assert memory.forget(Selection(since=1_000_000)).items == 1


def test_a_reader_that_holds_on_is_named_and_the_rest_is_done_the_next_time(memory: Memory, state: Path) -> None:
    fill(memory)
    memory._rows.execute("PRAGMA busy_timeout = 10")
    reader = connect_reader(state / "memory.db")
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM items").fetchone() == (COUNT,)
    with pytest.raises(StoreError, match=r"something reads .*memory\.db and holds on"):
        memory.forget(of(ONE))
    reader.close()
    assert memory.forget(of(ONE)).items == 0
    assert left_of({"d": arrival(ONE).digest, "v": VECTORS[ONE].astype("<f2").tobytes()}, state) == []


def test_what_could_be_removed_before_an_error_is_counted(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.memory.forgetting.AT_ONCE", 2)
    fill(memory)
    remove, calls = memory._forgetting._remove_some, []

    def fail_later() -> bool:
        calls.append(1)
        if len(calls) == 3:
            raise DiskFullError("no room")
        return remove()

    monkeypatch.setattr(memory._forgetting, "_remove_some", fail_later)
    with pytest.raises(DiskFullError):
        memory.forget(of(*range(1, 9)))
    assert (memory.tally.items, dict(memory.tally.exits)) == (COUNT - 4, {3: COUNT - 4})
    monkeypatch.undo()
    memory.forget(of())
    assert (memory.tally.items, dict(memory.tally.exits)) == (COUNT - 8, {3: COUNT - 8})


def test_a_reader_that_holds_on_does_not_keep_a_memory_from_opening(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def hasty(path: Path) -> sqlite3.Connection:
        rows = connect(path)
        rows.execute("PRAGMA busy_timeout = 10")
        return rows

    monkeypatch.setattr("edge.memory.forgetting._ATTEMPTS", 1)
    monkeypatch.setattr("edge.memory.memory.connect", hasty)
    with Memory(state, "bundle one") as memory:
        fill(memory)
        memory._write(lambda: memory._forgetting._note(of(ONE), force=False))
        reader = connect_reader(state / "memory.db")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM items").fetchone() == (COUNT,)
    with Memory(state, "bundle one") as memory:
        assert "something reads" in caplog.text
        assert memory.tally.items == COUNT - 1
        assert memory._forgetting._noted() == [ONE]
    reader.close()
    with Memory(state, "bundle one") as memory:
        assert memory._forgetting._noted() == []
        assert left_of({"d": arrival(ONE).digest, "v": VECTORS[ONE].astype("<f2").tobytes()}, state) == []


def test_stop_leaves_the_rest_to_the_next_start(state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory)
        with pytest.raises(RefusedError, match="forgets the rest when it starts again"):
            memory.forget(of(ONE), is_stopping=lambda: True)
        assert memory.item(ONE).source == arrival(ONE).source
    with Memory(state, "bundle one") as memory, pytest.raises(KeyError):
        memory.item(ONE)


CRASH = """
import os, sys
from pathlib import Path
from edge.memory import Memory
from edge.memory.forgetting import Forgetting
from test_forgetting import ONE, of, open_index

moment = sys.argv[2]
real = getattr(Forgetting, moment)
calls = []
def crash(self, *given):
    if not calls and moment == "_empty_log":  # the first time it is emptied
        calls.append(1)
        return real(self, *given)
    os._exit(7)
with Memory(Path(sys.argv[1]), "bundle one") as memory, open_index(memory):
    memory.open_activations(10**8)
    setattr(Forgetting, moment, crash)
    memory.forget(of(ONE))
"""


@pytest.mark.parametrize("moment", ["_remove_some", "_noted", "_settle", "_empty_log"])
def test_crash_on_the_way_is_finished_at_the_next_start(moment: str, state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory)
        with open_index(memory) as index:
            settle(index)
        traces = traces_of(memory, ONE)
    here = str(Path(__file__).parent)
    program = f"import sys; sys.path += [{here!r}, {str(Path(here).parent)!r}]\n{CRASH}"
    done = subprocess.run([sys.executable, "-c", program, state, moment], check=False, capture_output=True)
    assert done.returncode == 7, done.stderr.decode()
    with Memory(state, "bundle one") as memory:
        assert left_of(traces, state) == []
        assert memory.tally.items == COUNT - 1
        with open_index(memory) as index:
            assert ONE not in index.search(3, VECTORS[ONE], COUNT).ids.tolist()
            assert len(index) == COUNT - 1
    assert left_of(traces, state) == []


def test_activation_of_a_cache_that_is_off_now_goes_too(state: Path) -> None:
    with Memory(state, "bundle one") as memory:
        fill(memory)
    with Memory(state, "bundle one") as memory:
        memory.forget(of(ONE))
        assert list((state / "activations").rglob(f"{ONE}-*")) == []
        assert len(list((state / "activations").rglob("*.int4"))) == COUNT - 1
