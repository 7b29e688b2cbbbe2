"""Activations of an imported memory go on under the ids that their items have here, and what is on disk before rows."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.items import Arrival, Floats, Verdict
from edge.memory import Activations, InUse, Memory, export, import_memory
from edge.memory.cache.catalogue import Kept
from edge.memory.cache.worth import Worth
from edge.memory.disk.content import ContentStore
from edge.memory.disk.folder import clear_importing
from edge.memory.disk.sync import synced_disk
from edge.memory.merging import Merged
from edge.memory.rows.database import connect_reader

Keep = Callable[..., list[Verdict]]
Named = Callable[[str], Arrival]
HASHES = [bytes([number]) * 16 for number in range(4)]
ONE = InUse(fingerprint="bundle one", dimension=8, exits={"image": frozenset({4, 8, 11})}, hashes=tuple(HASHES))
ROOM = 1_000_000
SYNCING = ("edge.memory.importing.synced_disk", "edge.memory.disk.content.synced_disk")
NAMES = ["ant", "bee", "cat", "dog", "eel"]


def values(name: str) -> Floats:
    return np.random.default_rng(len(name) + ord(name[0])).normal(size=(5, 128)).astype(np.float32)


def put(cache: Activations, item: int, name: str, segment: int = 2, ms: float = 5.0) -> None:
    assert cache.put(item, segment, HASHES[segment], values(name), 2, Worth(recompute_ms=ms, seen_at=1_750_000_000))


def cached(memory: Memory, max_bytes: int = ROOM) -> dict[str, int]:
    """The items with an activation that can be gone on from, and the segment that made it."""
    cache, found = memory.open_activations(max_bytes), dict[str, int]()
    for number in range(1, 12):
        if activation := cache.get(number, HASHES):
            name = Path(memory.item(number).source).stem
            found[name] = activation[0]
            np.testing.assert_allclose(activation[1], values(name), atol=0.4)
    assert cache.damaged == 0
    assert cache.count == len(found)
    return found


@pytest.fixture
def tar(memory: Memory, keep: Keep, tmp_path: Path) -> Path:
    """Of five items at depth 8, each with its activation, the dearer the later."""
    keep(memory, *NAMES, depth=8)
    cache = memory.open_activations(ROOM)
    for number, name in enumerate(NAMES, start=1):
        put(cache, number, name, ms=5.0 * number)
    export(memory.folder, tmp_path / "out.tar", "demo")
    return tmp_path / "out.tar"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another state folder, which is not there so far."""
    return tmp_path / "there"


def fill(there: Path, keep: Keep, *names: str, depth: int = 11) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, *names, depth=depth)


def test_each_goes_on_under_the_id_that_its_item_gets(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox", "gnu")
    assert import_memory(tar, there, ONE, cache_bytes=ROOM).new == 5
    with Memory(there, "bundle one") as ours:
        assert ours.open_activations(ROOM).get(1, HASHES) is None  # the fox is not what was the ant's number
        assert cached(ours) == dict.fromkeys(NAMES, 2)


def test_values_are_those_of_the_file_bit_by_bit(memory: Memory, tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox")
    import_memory(tar, there, ONE, cache_bytes=ROOM)
    with Memory(there, "bundle one") as ours:
        theirs = memory.open_activations(ROOM).get(3, HASHES)
        found = ours.open_activations(ROOM).get(4, HASHES)
        assert theirs
        assert found
        np.testing.assert_array_equal(found[1], theirs[1])


def test_known_item_gets_what_it_lacks_and_keeps_what_is_as_deep(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox", "cat", "dog", "eel", depth=8)
    with Memory(there, "bundle one") as ours:
        cache = ours.open_activations(ROOM)
        put(cache, 3, "dog", segment=1)
        put(cache, 4, "eel", segment=3)
    assert import_memory(tar, there, ONE, cache_bytes=ROOM).known == 3
    with Memory(there, "bundle one") as ours:
        assert cached(ours) == {"cat": 2, "dog": 2, "eel": 3, "ant": 2, "bee": 2}


def test_item_that_is_finished_here_gets_none(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "cat", depth=11)
    import_memory(tar, there, ONE, cache_bytes=ROOM)
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours)) == set(NAMES) - {"cat"}


def test_what_another_bundle_of_the_same_segments_embedded_goes_on(tar: Path, there: Path, keep: Keep) -> None:
    with Memory(there, "bundle two") as ours:
        keep(ours, "fox", "cat", depth=11)
    import_memory(tar, there, replace(ONE, fingerprint="bundle two"), cache_bytes=ROOM)
    with Memory(there, "bundle two") as ours:
        assert cached(ours) == dict.fromkeys(set(NAMES) - {"cat"}, 2)


def test_what_other_segments_made_does_not_come_and_costs_nothing_that_is_there(
    tar: Path, there: Path, keep: Keep
) -> None:
    fill(there, keep, "fox", depth=8)
    with Memory(there, "bundle one") as ours:
        put(ours.open_activations(ROOM), 1, "fox", segment=1, ms=1.0)
        most = ours.open_activations(ROOM).size_bytes
    import_memory(tar, there, replace(ONE, hashes=(*HASHES[:2], bytes(16))), cache_bytes=most)
    import_memory(tar, there, replace(ONE, hashes=tuple(HASHES[:2])), cache_bytes=most)
    with Memory(there, "bundle one") as ours:
        assert cached(ours) == {"fox": 1}


def test_image_tower_says_what_is_finished_however_deep_the_other_is(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "cat", depth=11)
    deeper = replace(ONE, exits={**ONE.exits, "text": frozenset({12})})
    import_memory(tar, there, deeper, cache_bytes=ROOM)
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours)) == set(NAMES) - {"cat"}


def test_activation_of_no_item_does_not_come(tar: Path, there: Path) -> None:
    def forge(done_bytes: int, all_bytes: int) -> None:
        if done_bytes == all_bytes:
            (file,) = (there / "importing" / "activations" / "05").iterdir()
            (there / "importing" / "activations" / "09").mkdir()
            file.rename(file.parents[1] / "09" / file.name.replace("5-", "9-", 1))

    import_memory(tar, there, ONE, cache_bytes=ROOM, on_progress=forge)
    assert not list((there / "activations").glob("*/9-*"))
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours)) == set(NAMES) - {"eel"}


def test_dearest_come_where_there_is_no_room_for_all(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox")
    with Memory(there, "bundle one") as ours:
        put(ours.open_activations(ROOM), 1, "fox", ms=1.0)
        size_bytes = ours.open_activations(ROOM).size_bytes
    most = 3 * size_bytes + size_bytes // 2
    import_memory(tar, there, ONE, cache_bytes=most)
    files = [path for path in (there / "activations").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= most
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours, most)) == {"cat", "dog", "eel"}


def test_none_come_where_none_are_kept(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox")
    import_memory(tar, there, ONE)
    assert not (there / "activations").exists()


def test_damaged_one_is_left_out(memory: Memory, tar: Path, there: Path, keep: Keep) -> None:
    file = next(path for path in (memory.folder / "activations").rglob("3-*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))
    tar.unlink()
    export(memory.folder, tar, "demo")
    fill(there, keep, "fox")
    import_memory(tar, there, ONE, cache_bytes=ROOM)
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours)) == set(NAMES) - {"cat"}


def test_import_again_changes_no_activation(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox")
    import_memory(tar, there, ONE, cache_bytes=ROOM)
    before = {path.name: path.read_bytes() for path in (there / "activations").rglob("*") if path.is_file()}
    import_memory(tar, there, ONE, cache_bytes=ROOM)
    assert {path.name: path.read_bytes() for path in (there / "activations").rglob("*") if path.is_file()} == before
    assert len(before) == 5


def test_interrupt_among_activations_leaves_all_items_and_a_part_of_these(
    tar: Path, there: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(there, keep, "fox")
    whole, came = Activations._adopt, list[int]()

    def adopt(cache: Activations, path: Path, kept: Kept) -> bool:
        if len(came) == 2:
            signal.raise_signal(signal.SIGINT)
        came.append(kept.item)
        return whole(cache, path, kept)

    with monkeypatch.context() as patched:
        patched.setattr(Activations, "_adopt", adopt)
        done = import_memory(tar, there, ONE, cache_bytes=ROOM)
    assert (done.new, done.is_stopped) == (5, True)
    assert not (there / "importing").exists()
    with Memory(there, "bundle one") as ours:
        assert cached(ours) == {"eel": 2, "dog": 2}
    done = import_memory(tar, there, ONE, cache_bytes=ROOM)
    assert (done.new, done.known, done.is_stopped) == (0, 5, False)
    with Memory(there, "bundle one") as ours:
        assert set(cached(ours)) == set(NAMES)


@pytest.mark.parametrize("cache_bytes", [ROOM, 0])
def test_interrupt_while_rows_are_added_is_told_as_an_import(
    tar: Path, there: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int
) -> None:
    whole = Memory.merge

    def merge(memory: Memory, unpacked: Path) -> Merged:
        signal.raise_signal(signal.SIGINT)
        return whole(memory, unpacked)

    monkeypatch.setattr(Memory, "merge", merge)
    done = import_memory(tar, there, ONE, cache_bytes=cache_bytes)
    assert (done.new, done.is_stopped) == (5, cache_bytes > 0)
    with Memory(there, "bundle one") as ours:
        assert (ours.tally.items, cached(ours)) == (5, {})


def test_interrupt_before_rows_are_added_changes_nothing(tar: Path, there: Path, keep: Keep) -> None:
    fill(there, keep, "fox")
    with pytest.raises(KeyboardInterrupt):
        import_memory(tar, there, ONE, on_progress=lambda *_: signal.raise_signal(signal.SIGINT))
    assert not (there / "importing").exists()
    with Memory(there, "bundle one") as ours:
        assert ours.tally.items == 1


def test_interrupt_while_it_is_cleaned_up_leaves_nothing_behind(
    tar: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clear(folder: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        clear_importing(folder)

    monkeypatch.setattr("edge.memory.importing.clear_importing", clear)
    done = import_memory(tar, there, ONE, cache_bytes=ROOM)
    assert (done.new, done.is_stopped) == (5, False)
    assert not (there / "importing").exists()


def test_database_that_cannot_be_read_behind_the_items_costs_activations_alone(
    tar: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("edge.memory.importing.connect_reader", fail)
    assert import_memory(tar, there, ONE, cache_bytes=ROOM).new == 5
    assert not list(there.glob("activations/*/*"))


def test_number_of_waits_for_the_disk_does_not_grow_with_the_items(
    memory: Memory, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[object] = []
    whole = os.fsync

    def count(handle: int) -> None:
        waits.append(handle)
        whole(handle)

    def of_the_disk(folder: Path) -> AbstractContextManager[None]:
        waits.append(folder)
        return synced_disk(folder)

    counts = []
    for size in (10, 200):
        memory.accept([named(f"{size} {number}") for number in range(size)])
        export(memory.folder, tmp_path / f"{size}.tar", "demo")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", count)
            for where in SYNCING:
                patched.setattr(where, of_the_disk)
            waits.clear()
            import_memory(tmp_path / f"{size}.tar", tmp_path / f"there {size}", ONE)
        counts.append(len(waits))
        assert [folder.name for folder in waits if isinstance(folder, Path)] == ["importing", "content"]
    assert counts[0] == counts[1]


def test_content_is_on_the_disk_under_its_name_before_a_row_can_be_seen(
    tar: Path, there: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(there, keep, "fox")
    seen: list[tuple[str, int, int]] = []

    @contextmanager
    def watched(folder: Path) -> Iterator[None]:
        with synced_disk(folder):
            yield
        files = len([path for path in folder.rglob("*") if path.is_file()])
        with closing(connect_reader(there / "memory.db")) as rows:
            seen.append((folder.name, files, rows.execute("SELECT count(*) FROM items").fetchone()[0]))

    for where in SYNCING:
        monkeypatch.setattr(where, watched)
    import_memory(tar, there, ONE)
    assert seen == [("importing", 11, 1), ("content", 6, 1)]


def test_disk_that_fails_to_keep_what_was_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def syncfs(self, _handle: int) -> int:
            return -1

    store = ContentStore(tmp_path / "content")
    (tmp_path / "other").mkdir()
    monkeypatch.setattr("ctypes.CDLL", lambda _name, **_: Libc())
    monkeypatch.setattr("ctypes.get_errno", lambda: 5)
    with pytest.raises(OSError, match=r"\[Errno 5\] Input/output error: .*content"):
        store.adopt(tmp_path / "other")
