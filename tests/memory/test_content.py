from __future__ import annotations

import contextlib
import errno
import hashlib
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from edge.memory.disk.content import ContentStore

CAT = b"a cat, say"
DIGEST = hashlib.sha256(CAT).digest()
OTHER = hashlib.sha256(b"a dog").digest()
Limit = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "content"


@pytest.fixture
def store(folder: Path) -> ContentStore:
    return ContentStore(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def recorded_calls(*wanted: str) -> Iterator[list[str]]:
    """The names of the system's functions among `wanted`, in the order in which they are called."""
    calls: list[str] = []

    def note(_frame: object, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in wanted:
            calls.append(function.__name__)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_content_lies_under_its_checksum_and_is_read_back(store: ContentStore, folder: Path) -> None:
    assert store.put(DIGEST, CAT) is True
    assert (folder / DIGEST.hex()[:2] / DIGEST.hex()).read_bytes() == CAT
    assert store.get(DIGEST) == CAT


def test_the_same_content_is_written_once(store: ContentStore, folder: Path) -> None:
    store.put(DIGEST, CAT)
    written = (folder / DIGEST.hex()[:2] / DIGEST.hex()).stat()
    assert store.put(DIGEST, CAT) is False
    assert (folder / DIGEST.hex()[:2] / DIGEST.hex()).stat() == written


def test_empty_content_is_content(store: ContentStore) -> None:
    digest = hashlib.sha256(b"").digest()
    assert store.put(digest, b"") is True
    assert store.get(digest) == b""


def test_content_that_is_gone_is_none(store: ContentStore) -> None:
    assert store.get(DIGEST) is None


def test_content_is_synced_before_it_gets_its_name_and_its_name_is_synced_after(store: ContentStore) -> None:
    with recorded_calls("fsync", "replace") as calls:
        store.put(DIGEST, CAT)
    assert calls == ["fsync", "fsync", "replace", "fsync"]  # the new folder's name, the file, then the file's name


def test_new_store_finds_what_an_earlier_one_wrote(store: ContentStore, folder: Path) -> None:
    store.put(DIGEST, CAT)
    assert ContentStore(folder).get(DIGEST) == CAT


def test_folders_are_closed_to_others(store: ContentStore, folder: Path) -> None:
    store.put(DIGEST, CAT)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / DIGEST.hex()[:2])} == {0o700}


def test_failed_write_leaves_nothing_behind(store: ContentStore, folder: Path, file_size_limit: Limit) -> None:
    with file_size_limit(4), pytest.raises(OSError, match="File too large"):
        store.put(DIGEST, CAT)
    assert names(folder) == []
    assert store.get(DIGEST) is None


def test_failed_write_can_be_repeated(store: ContentStore, file_size_limit: Limit) -> None:
    with file_size_limit(4), pytest.raises(OSError, match="File too large"):
        store.put(DIGEST, CAT)
    assert store.put(DIGEST, CAT) is True
    assert store.get(DIGEST) == CAT


def test_removed_content_is_gone_and_its_neighbour_is_not(store: ContentStore) -> None:
    store.put(DIGEST, CAT)
    store.put(OTHER, b"a dog")
    store.remove([DIGEST])
    assert store.get(DIGEST) is None
    assert store.get(OTHER) == b"a dog"


def test_removing_what_is_not_there_is_no_error(store: ContentStore) -> None:
    store.remove([DIGEST, OTHER])


def test_sweep_deletes_unfinished_and_unspoken_files_and_says_how_many(store: ContentStore, folder: Path) -> None:
    store.put(DIGEST, CAT)
    store.put(OTHER, b"a dog")
    unfinished = folder / DIGEST.hex()[:2] / f"{DIGEST.hex()}.tmp"
    unfinished.write_bytes(CAT[:3])
    assert store.sweep({DIGEST}) == 2
    assert names(folder) == [DIGEST.hex()]


def test_sweep_of_a_clean_store_deletes_nothing(store: ContentStore) -> None:
    store.put(DIGEST, CAT)
    assert store.sweep({DIGEST}) == 0
    assert store.get(DIGEST) == CAT


@pytest.mark.parametrize("name", ["notes.txt", "photo.tmp", ".hidden"])
def test_sweep_leaves_files_that_are_not_ours(store: ContentStore, folder: Path, name: str) -> None:
    (folder / "en").mkdir()
    (folder / "en" / name).touch()
    assert store.sweep(set()) == 0
    assert names(folder) == [name]
    assert not store.holds_any()


def test_store_says_whether_it_holds_a_file(store: ContentStore) -> None:
    assert not store.holds_any()
    store.put(DIGEST, CAT)
    assert store.holds_any()
    assert (store.holds(DIGEST), store.holds(OTHER)) == (True, False)


def test_content_whose_name_could_not_be_made_durable_is_not_kept(
    store: ContentStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store.put(OTHER, b"a dog")  # the folder of the first two digits may be there, or not
    (folder / DIGEST.hex()[:2]).mkdir(exist_ok=True)
    with monkeypatch.context() as patched:
        patched.setattr("edge.memory.disk.content.sync_folder", fail)
        with pytest.raises(OSError, match="Input/output error"):
            store.put(DIGEST, CAT)
    assert not store.holds(DIGEST)
    assert store.put(DIGEST, CAT)
    assert store.get(DIGEST) == CAT
