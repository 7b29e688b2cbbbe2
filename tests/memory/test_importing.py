"""An exported file back into a memory: all of it, once, or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from disks import Disk
from edge.errors import DiskFullError, StoreError, UsageError
from edge.items import Arrival, Embedded, Selection, Verdict
from edge.memory import Imported, InUse, Limits, Memory, export, import_memory
from edge.memory.archive import ArchiveError
from edge.memory.cache.worth import Worth
from edge.memory.disk.content import ContentStore
from remains import left_of

Keep = Callable[..., list[Verdict]]
Named = Callable[[str], Arrival]
Build = Callable[..., Embedded]
Found = Callable[[Memory], dict[int, list[str]]]
WORTH = Worth(recompute_ms=5.0, seen_at=1_750_000_000)
MADE_BY = bytes(range(16))
ONE = InUse(
    fingerprint="bundle one",
    dimension=8,
    exits={"image": frozenset({4, 8, 11})},
    hashes=(*[bytes(16)] * 3, MADE_BY),
)
TWO = dataclasses.replace(ONE, fingerprint="bundle two")


def new(*, new: int = 0, known: int = 0, waiting: int = 0, unread: int = 0) -> Imported:
    return Imported(new=new, known=known, waiting=waiting, unread=unread)


def all_of(folder: Path) -> dict[str, bytes]:
    """What lies in a state folder but for the lock and SQLite's two helpers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"lock", "memory.db-wal", "memory.db-shm"}
    }


def dump(folder: Path) -> list[str]:
    """Every row of the database but that of the clock."""
    with contextlib.closing(sqlite3.connect(folder / "memory.db")) as rows:
        return [line for line in rows.iterdump() if "clock" not in line]


@pytest.fixture
def tar(memory: Memory, keep: Keep, named: Named, tmp_path: Path) -> Path:
    """Of a memory with a cat and a dog at depth 11, an eel at depth 8, a gnu that waits, and the eel's activation."""
    keep(memory, "cat", "dog", axis=2)
    keep(memory, "eel", depth=8, axis=3)
    memory.sighted([named("cat").digest])
    memory.pin(Selection(digests=(named("dog").digest,)), is_pinned=True)
    values = np.linspace(-1, 1, 640, dtype=np.float32).reshape(5, 128)
    assert memory.open_activations(1_000_000).put(3, 3, MADE_BY, values, 2, WORTH)
    memory.accept([named("gnu")])
    export(memory.folder, tmp_path / "out.tar", "demo")
    return tmp_path / "out.tar"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Another state folder, which is not there so far."""
    return tmp_path / "there"


def test_memory_is_the_same_on_another_device(memory: Memory, tar: Path, there: Path) -> None:
    assert import_memory(tar, there, ONE, cache_bytes=1_000_000) == new(new=4, waiting=1)
    with Memory(there, "bundle one") as restored:
        assert [restored.item(number) for number in range(1, 5)] == [memory.item(number) for number in range(1, 5)]
        assert [restored.content(restored.item(number)) for number in range(1, 5)] == [b"cat", b"dog", b"eel", b"gnu"]
        assert (restored.tally, restored.waiting(9)) == (memory.tally, memory.waiting(9))
        for ours, theirs in zip(restored.partitions(), memory.partitions(), strict=True):
            assert ours.depth == theirs.depth
            np.testing.assert_array_equal(ours.ids, theirs.ids)
            np.testing.assert_array_equal(ours.embeddings, theirs.embeddings)
            np.testing.assert_array_equal(ours.offsets, theirs.offsets)
        assert restored._forgetting.pinned == memory._forgetting.pinned == {2}
        both = [one.open_activations(1_000_000).get(3, [bytes(16)] * 3 + [MADE_BY]) for one in (restored, memory)]
        assert both[0]
        assert both[1]
        np.testing.assert_array_equal(both[0][1], both[1][1])


def test_folder_is_open_to_its_owner_alone_and_holds_nothing_else(tar: Path, there: Path) -> None:
    import_memory(tar, there, ONE, cache_bytes=1_000_000)
    assert {path.name for path in there.iterdir()} == {"activations", "content", "lock", "memory.db"}
    modes = {path.is_dir(): path.stat().st_mode & 0o77 for path in there.rglob("*") if path.name != "lock"}
    assert modes == {True: 0, False: 0}
    assert there.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_imports_belongs_to_the_owner_of_the_folder(tar: Path, there: Path) -> None:
    there.mkdir(mode=0o700)
    os.chown(there, 61_234, 61_234)
    import_memory(tar, there, ONE, cache_bytes=1_000_000)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in there.rglob("*")} == {(61_234, 61_234)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_fails_to_import_leaves_nothing_that_the_owner_cannot_delete(
    tar: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.mkdir(mode=0o700)
    os.chown(there, 61_234, 61_234)

    adopt = ContentStore.adopt

    def adopt_and_fail(store: ContentStore, other: Path) -> None:
        adopt(store, other)
        raise OSError(errno.EIO, "Input/output error", str(other))

    monkeypatch.setattr(ContentStore, "adopt", adopt_and_fail)
    with pytest.raises(StoreError, match="Input/output error"):
        import_memory(tar, there, ONE)
    assert any(path.is_file() for path in (there / "content").rglob("*"))
    assert {path.stat().st_uid for path in there.rglob("*")} == {61_234}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_unpacks_can_be_deleted_by_the_owner_at_any_time(tar: Path, there: Path) -> None:
    there.mkdir(mode=0o700)
    os.chown(there, 61_234, 61_234)
    owners: list[set[int]] = []

    def look(_done: int, _all: int) -> None:
        place = there / "importing"
        owners.append({path.stat().st_uid for path in (place, *place.rglob("*")) if path.is_dir()})

    import_memory(tar, there, ONE, on_progress=look)
    assert owners == [{61_234}] * 6


def test_what_an_ended_import_left_and_cannot_be_deleted_is_told(there: Path, caplog: pytest.LogCaptureFixture) -> None:
    there.mkdir()
    (there / "importing").write_bytes(b"no folder")
    with Memory(there, "bundle one"):
        assert caplog.messages == [
            f"{there}/importing, which an import left, cannot be deleted (Not a directory): delete it as root"
        ]


def test_items_join_those_that_are_there(tar: Path, there: Path, keep: Keep, found_in: Found, embedded: Build) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, "fox", "eel", depth=11, axis=5)
        keep(ours, "dog", depth=4)
    assert import_memory(tar, there, ONE) == new(new=2, known=2, waiting=1)
    with Memory(there, "bundle one") as ours:
        # The deeper embedding counts: the dog's from the file, the eel's from here.
        assert found_in(ours) == {11: ["fox", "eel", "dog", "cat"]}
        assert [item.source for item in ours.waiting(9)] == ["/pictures/gnu.jpg"]
        by_name = {Path(ours.item(number).source).stem: ours.item(number) for number in (1, 2, 3, 4, 7)}
        assert by_name.keys() == {"fox", "eel", "dog", "cat", "gnu"}
        assert {name: ours.content(item) for name, item in by_name.items()} == {name: name.encode() for name in by_name}
        assert (by_name["cat"].sightings, by_name["eel"].sightings) == (2, 1)
        assert ours._forgetting.pinned == {3}
        ours.index([embedded(7)])
        assert ours.tally.exits == {11: 5}


def test_file_that_is_imported_twice_changes_nothing(tar: Path, there: Path) -> None:
    import_memory(tar, there, ONE)
    before = dump(there)
    assert import_memory(tar, there, ONE) == new(known=4, waiting=1)
    assert dump(there) == before


def test_index_follows_an_import(tar: Path, there: Path, keep: Keep) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, "fox", axis=5)
        sequence = ours.changes(0).sequence
    import_memory(tar, there, ONE)
    with Memory(there, "bundle one") as ours:
        changes = ours.changes(sequence)
        assert sum(len(part.ids) for part in changes.added) == 3
        index = ours.open_index("image", {8: 1.0, 11: 1.0}, forest_from=1_000)
        index.follow()
        assert {depth: len(index.search(depth, np.eye(8, dtype=np.float32)[2], 9).ids) for depth in (8, 11)} == {
            8: 1,
            11: 3,
        }


def test_items_of_another_bundle_wait_for_this_one_and_what_has_no_content_is_counted(
    memory: Memory, keep: Keep, tmp_path: Path, there: Path
) -> None:
    keep(memory, "ant", "bee")
    memory.evict(Limits(max_bytes=0))
    keep(memory, "cat")
    export(memory.folder, tmp_path / "out.tar", "demo")
    assert import_memory(tmp_path / "out.tar", there, TWO) == new(new=3, waiting=1, unread=2)
    with Memory(there, "bundle two") as ours:
        assert [item.source for item in ours.waiting(9)] == ["/pictures/cat.jpg"]
    with Memory(there, "bundle one") as ours:
        assert ours.tally.exits == {11: 3}


def test_content_that_was_evicted_comes_back_and_lost_items_are_found_again(
    tar: Path, there: Path, keep: Keep, named: Named
) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, "cat")
        ours.evict(Limits(max_bytes=0))
        ours.accept([named("dog"), named("eel")])
        dog, eel = ours.waiting(2)
        ours.reject(dog, "its content is gone", is_lost=True)
        ours.reject(eel, "not a picture")
    import_memory(tar, there, ONE)
    with Memory(there, "bundle one") as ours:
        assert [ours.content(ours.item(number)) for number in (1, 2, 3)] == [b"cat", b"dog", None]
        assert ours.tally.exits == {11: 2}
        known = [ours.known(named(text).digest) for text in ("cat", "dog", "eel")]
        assert [verdict and verdict.state for verdict in known] == ["duplicate", "duplicate", "rejected"]


def test_item_that_was_kept_back_waits_again_when_its_content_comes(
    tar: Path, there: Path, keep: Keep, content_files: Callable[[Path], list[Path]]
) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, "cat")
    for path in content_files(there):
        path.unlink()
    with Memory(there, "bundle two") as ours:
        assert not ours.reject(ours.item(1), "its content is gone", is_lost=True)
        assert ours.is_kept_back(1)
    import_memory(tar, there, TWO)
    with Memory(there, "bundle two") as ours:
        assert not ours.is_kept_back(1)
        assert ours.is_again(1)
        assert ours.content(ours.item(1)) == b"cat"


def test_memory_that_is_in_use_is_not_touched(memory: Memory, tar: Path) -> None:
    with pytest.raises(StoreError, match=r"is in use by another process: stop it, or choose another state folder"):
        import_memory(tar, memory.folder, ONE)
    assert memory.tally.items == 4


def test_file_that_is_not_there_is_named(there: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.tar cannot be read \(No such file or directory\)"):
        import_memory(tmp_path / "missing.tar", there, ONE)
    assert not there.exists()


SCHEMA_2 = """
CREATE TABLE items (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, modality TEXT NOT NULL, source TEXT NOT NULL,
    bytes INTEGER NOT NULL, added_at REAL NOT NULL, taken_at REAL, rejected TEXT) STRICT;
CREATE TABLE waiting (item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE) STRICT;
CREATE TABLE models (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE embeddings (item INTEGER NOT NULL, model INTEGER NOT NULL, depth INTEGER NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (item, model, depth)) STRICT;
PRAGMA application_id = 0x524D4E53;
PRAGMA user_version = 2
"""


def test_older_schema_is_brought_to_this_one_and_stays_what_it_is_there(
    tmp_path: Path, there: Path, named: Named
) -> None:
    older, digest = tmp_path / "older", named("cat").digest
    (older / "content" / digest.hex()[:2]).mkdir(parents=True)
    (older / "content" / digest.hex()[:2] / digest.hex()).write_bytes(b"cat")
    with contextlib.closing(sqlite3.connect(older / "memory.db")) as rows, rows:
        rows.executescript(SCHEMA_2)
        rows.execute("INSERT INTO items VALUES (1, ?, 'image', 'cat', 3, 1.5, NULL, NULL)", (digest,))
    export(older, tmp_path / "out.tar", "demo")
    assert import_memory(tmp_path / "out.tar", there, ONE) == new(new=1, waiting=1)
    with contextlib.closing(sqlite3.connect(older / "memory.db")) as rows:
        assert rows.execute("PRAGMA user_version").fetchone() == (2,)


def test_full_disk_leaves_the_memory_as_it_was(
    disk: Disk, memory: Memory, keep: Keep, tmp_path: Path, found_in: Found
) -> None:
    contents = [bytes([number]) * 400_000 for number in range(8)]
    memory.accept(
        [
            Arrival(content=each, digest=hashlib.sha256(each).digest(), modality="image", source="", taken_at=None)
            for each in contents
        ]
    )
    export(memory.folder, tmp_path / "out.tar", "demo")
    with Memory(disk.state, "bundle one") as ours:
        keep(ours, "fox")
    before = all_of(disk.state)
    disk.fill_up_to(2 << 20)
    with pytest.raises(DiskFullError, match=r"the disk of .* is full: free some space and run this again"):
        import_memory(tmp_path / "out.tar", disk.state, ONE)
    assert {name: data for name, data in all_of(disk.state).items() if name != "memory.db"} == {
        name: data for name, data in before.items() if name != "memory.db"
    }
    with Memory(disk.state, "bundle one") as ours:
        assert found_in(ours) == {11: ["fox"]}
    disk.make_room()
    assert import_memory(tmp_path / "out.tar", disk.state, ONE) == new(new=8, waiting=8)


def test_what_an_ended_import_left_is_deleted_by_the_next_start(
    tar: Path, there: Path, keep: Keep, named: Named
) -> None:
    with Memory(there, "bundle one") as ours:
        keep(ours, "fox")
    (there / "importing" / "content" / "ab").mkdir(parents=True)
    (there / "importing" / "content" / "ab" / "secret").write_bytes(b"what somebody will forget")
    orphan = there / "content" / named("cat").digest.hex()[:2] / named("cat").digest.hex()
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"cat")
    with Memory(there, "bundle one"):
        assert left_of({"half": b"what somebody will forget", "cat": named("cat").digest}, there) == []
    assert import_memory(tar, there, ONE).new == 4


def test_error_while_rows_are_added_adds_none(tar: Path, there: Path, named: Named, found_in: Found) -> None:
    other = np.zeros(5, dtype=np.float32)
    with Memory(there, "bundle one") as ours:
        ours.accept([named("fox")])
        ours.index([Embedded(item=1, depth=11, embedding=other)])
    with pytest.raises(ArchiveError, match="it has embeddings of another length by the bundle bundle one"):
        import_memory(tar, there, ONE)
    assert not (there / "importing").exists()
    assert not (there / "content" / named("cat").digest.hex()[:2] / named("cat").digest.hex()).exists()
    with Memory(there, "bundle one") as ours:
        assert (found_in(ours), ours.tally.items) == ({11: ["fox"]}, 1)
        assert left_of({"cat": named("cat").digest}, there) == []
