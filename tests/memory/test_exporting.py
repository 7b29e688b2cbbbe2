"""A memory as one file: what is in it, what is not, and that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import json
import os
import signal
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from disks import Disk
from edge.errors import DiskFullError, StoreError, UsageError
from edge.items import Arrival, Selection, Verdict
from edge.memory import Limits, Memory, export
from edge.memory.cache.worth import Worth

Keep = Callable[..., list[Verdict]]
Named = Callable[[str], Arrival]
WORTH = Worth(recompute_ms=5.0, seen_at=1_750_000_000)
MADE_BY = bytes(range(16))


def cache(memory: Memory, *items: int) -> None:
    activations = memory.open_activations(1_000_000)
    for item in items:
        values = np.linspace(-1, 1, 640, dtype=np.float32).reshape(5, 128) * item
        assert activations.put(item, 3, MADE_BY, values, 2, WORTH)


def members(file: Path) -> dict[str, bytes]:
    """As any tar reads them."""
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            assert member.isreg()
            assert (member.mode, member.uid, member.gid, member.mtime) == (0o600, 0, 0, 0)
            content = archive.extractfile(member)
            assert content
            found[member.name] = content.read()
        return found


def content_of(*texts: str) -> dict[str, bytes]:
    names = {text: hashlib.sha256(text.encode()).hexdigest() for text in texts}
    return {f"content/{name[:2]}/{name}": text.encode() for text, name in names.items()}


@contextlib.contextmanager
def database(found: dict[str, bytes], place: Path) -> Iterator[sqlite3.Connection]:
    (place / "copy.db").write_bytes(found["memory.db"])
    with contextlib.closing(sqlite3.connect(place / "copy.db")) as rows:
        yield rows


def test_file_holds_a_manifest_first_then_database_content_and_activations(
    memory: Memory, keep: Keep, tmp_path: Path
) -> None:
    keep(memory, "cat", "dog")
    cache(memory, 2)
    done = export(memory.folder, tmp_path / "out.tar", "demo")
    found = members(tmp_path / "out.tar")
    activation = next((memory.folder / "activations").rglob("*.int4"))
    named = str(activation.relative_to(memory.folder))
    assert list(found) == ["manifest.json", "memory.db", *content_of("cat", "dog"), named]
    assert found.items() >= {**content_of("cat", "dog"), named: activation.read_bytes()}.items()
    manifest = json.loads(found.pop("manifest.json"))
    lines = [f"{hashlib.sha256(data).hexdigest()}  {len(data)}  {name}" for name, data in found.items()]
    assert manifest == {
        "format": 1,
        "schema": 8,
        "model": "demo",
        "bundles": {"bundle one": 2},
        "items": 2,
        "content": 2,
        "activations": 1,
        "members": lines,
    }
    assert (done.items, done.content, done.activations, done.missing) == (2, 2, 1, 0)
    assert done.size_bytes == (tmp_path / "out.tar").stat().st_size
    with database(found, tmp_path) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert rows.execute("SELECT source FROM items").fetchall() == [("/pictures/cat.jpg",), ("/pictures/dog.jpg",)]


def test_nothing_of_the_device_is_in_the_file(state: Path, keep: Keep, tmp_path: Path) -> None:
    with Memory(state, "bundle one", bundle=tmp_path / "where-bundles-lie") as memory:
        keep(memory, "cat")
        (boot,) = memory._rows.execute("SELECT boot FROM clock").fetchone()
        export(state, tmp_path / "out.tar", "demo")
    whole = (tmp_path / "out.tar").read_bytes()
    assert b"where-bundles-lie" not in whole
    assert boot.encode() not in whole


def test_damaged_memory_is_told_of_its_own_folder(state: Path, keep: Keep, tmp_path: Path) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat")
    (state / "memory.db").write_bytes((state / "memory.db").read_bytes()[:4096] + b"x" * 40_000)
    (tmp_path / "backup").mkdir()
    with pytest.raises(StoreError, match=r" cannot be used \(.+\): restore it from a backup, or move it") as error:
        export(state, tmp_path / "backup" / "out.tar", "demo")
    assert str(error.value).startswith(f"{state} cannot be used (")


def test_activations_may_be_left_out(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat")
    cache(memory, 1)
    done = export(memory.folder, tmp_path / "out.tar", "demo", with_activations=False)
    assert done.activations == 0
    assert list(members(tmp_path / "out.tar")) == ["manifest.json", "memory.db", *content_of("cat")]


def test_same_memory_gives_the_same_bytes(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat", "dog", "eel")
    cache(memory, 3, 1, 2)
    for name in ("one", "two"):
        export(memory.folder, tmp_path / name, "demo")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_file_is_for_its_owner_alone_and_nothing_else_is_left(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat")
    (tmp_path / "backup").mkdir()
    export(memory.folder, tmp_path / "backup" / "out.tar", "demo")
    (file,) = (tmp_path / "backup").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_waits_comes_first_and_what_was_rejected_or_evicted_has_no_content(
    memory: Memory, keep: Keep, named: Named, tmp_path: Path
) -> None:
    keep(memory, "ant")
    memory.evict(Limits(max_bytes=0))
    keep(memory, "cat")
    memory.accept([named("dog"), named("eel")])
    memory.reject(memory.waiting(2)[1], "not a picture")
    export(memory.folder, tmp_path / "out.tar", "demo")
    assert list(members(tmp_path / "out.tar"))[2:] == [*content_of("dog"), *content_of("cat")]


def test_nothing_of_a_forgotten_item_is_in_the_file(memory: Memory, keep: Keep, named: Named, tmp_path: Path) -> None:
    texts = [f"animal number {number}" for number in range(80)]
    keep(memory, *texts)
    cache(memory, 7)
    gone = named(texts[6])
    memory.forget(Selection(digests=(gone.digest,)))
    export(memory.folder, tmp_path / "out.tar", "demo")
    whole = (tmp_path / "out.tar").read_bytes()
    for trace in (gone.content + b"\0", gone.digest, gone.digest.hex().encode(), gone.source.encode()):
        assert trace not in whole
    assert named(texts[7]).digest in whole


def test_what_is_noted_to_be_forgotten_is_not_in_the_file_though_its_row_is_there(
    memory: Memory, keep: Keep, named: Named, tmp_path: Path
) -> None:
    keep(memory, "cat", "dog")
    memory._forgetting._note(Selection(digests=(named("dog").digest,)), force=False)
    export(memory.folder, tmp_path / "out.tar", "demo")
    whole = (tmp_path / "out.tar").read_bytes()
    assert named("cat").digest in whole
    assert not any(trace in whole for trace in (named("dog").digest, b"dog.jpg", b"dog\0"))


def forget_at(memory: Memory, number: int, digests: Iterator[bytes]) -> Callable[[int, int], None]:
    """On each export's member of this number something is forgotten."""
    seen = itertools.count()

    def on_progress(done: int, total: int) -> None:
        assert done <= total
        if next(seen) == number or done == total:
            for digest in itertools.islice(digests, 1):
                memory.forget(Selection(digests=(digest,)))

    return on_progress


@pytest.mark.parametrize("number", [0, 2])
def test_item_that_is_forgotten_while_it_is_exported_is_not_in_the_file(
    memory: Memory, keep: Keep, named: Named, tmp_path: Path, number: int
) -> None:
    keep(memory, "cat", "dog", "eel")
    digests = iter([named("dog").digest])
    done = export(memory.folder, tmp_path / "out.tar", "demo", on_progress=forget_at(memory, number, digests))
    assert (done.items, done.content) == (2, 2)
    assert not any(trace in (tmp_path / "out.tar").read_bytes() for trace in (named("dog").digest, b"dog.jpg"))


def test_export_gives_up_when_something_is_forgotten_each_time(
    memory: Memory, keep: Keep, named: Named, tmp_path: Path
) -> None:
    texts = ("cat", "dog", "eel", "fox")
    keep(memory, *texts)
    digests = iter([named(text).digest for text in texts])
    with pytest.raises(StoreError, match=r"something was forgotten each time that .* was copied: export it when"):
        export(memory.folder, tmp_path / "out.tar", "demo", on_progress=forget_at(memory, -1, digests))
    assert sorted(path.name for path in tmp_path.iterdir()) == [memory.folder.name]


def test_content_that_is_evicted_while_it_is_exported_is_left_out(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat", "dog")

    def evict(_done: int, _all: int) -> None:
        memory.evict(Limits(max_bytes=3))

    done = export(memory.folder, tmp_path / "out.tar", "demo", on_progress=evict)
    assert (done.items, done.content, done.missing) == (2, 1, 0)
    found = members(tmp_path / "out.tar")
    assert json.loads(found["manifest.json"])["content"] == 1
    assert list(found)[2:] == list(content_of("dog"))


def test_damaged_and_lost_content_is_left_out_and_counted(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat", "dog", "eel")
    cat, dog = ((memory.folder / name) for name in content_of("cat", "dog"))
    cat.write_bytes(b"cab")
    dog.unlink()
    done = export(memory.folder, tmp_path / "out.tar", "demo")
    assert (done.items, done.content, done.missing) == (3, 1, 2)
    assert list(members(tmp_path / "out.tar"))[2:] == list(content_of("eel"))


def test_items_that_arrive_meanwhile_do_no_harm(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat", "dog")
    texts = (f"late {number}" for number in itertools.count())

    def arrive(_done: int, _all: int) -> None:
        keep(memory, next(texts))

    done = export(memory.folder, tmp_path / "out.tar", "demo", on_progress=arrive)
    assert (done.items, done.content, done.missing) == (2, 2, 0)


def test_file_that_is_there_is_not_overwritten(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat")
    (tmp_path / "out.tar").write_text("mine")
    with pytest.raises(UsageError, match=r"out\.tar is there already: choose another name, or move it away"):
        export(memory.folder, tmp_path / "out.tar", "demo")
    assert (tmp_path / "out.tar").read_text() == "mine"


def test_folder_without_a_memory_and_target_without_a_folder_are_refused(
    memory: Memory, keep: Keep, tmp_path: Path
) -> None:
    keep(memory, "cat")
    with pytest.raises(UsageError, match="nowhere has no memory to export: --state names another folder"):
        export(tmp_path / "nowhere", tmp_path / "out.tar", "demo")
    with pytest.raises(UsageError, match="missing is not a folder: make it, or choose another place"):
        export(memory.folder, tmp_path / "missing" / "out.tar", "demo")
    assert not (tmp_path / "nowhere").exists()


def test_what_a_killed_export_left_is_gone_with_the_next(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat")
    left = tmp_path / ".out.tar.unfinished"
    left.mkdir()
    (left / "tar").write_bytes(b"half")
    (left / "memory.db-wal").write_bytes(b"of another")
    export(memory.folder, tmp_path / "out.tar", "demo")
    assert not left.exists()
    assert members(tmp_path / "out.tar").keys() >= content_of("cat").keys()


@pytest.mark.parametrize("moment", ["fcntl.flock", "shutil.rmtree"])
def test_interrupt_as_its_folder_comes_or_goes_leaves_no_folder(
    moment: str, memory: Memory, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(memory, "cat")
    out = tmp_path / "out"
    out.mkdir()
    module, name = moment.split(".")
    work = getattr(importlib.import_module(module), name)

    def interrupted(*args: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        work(*args)

    monkeypatch.setattr(f"edge.memory.exporting.{moment}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(memory.folder, out / "memory.tar", "a model")
    assert [path.name for path in out.iterdir()] == (["memory.tar"] if name == "rmtree" else [])


def test_two_exports_to_one_file_do_not_mix(memory: Memory, keep: Keep, tmp_path: Path) -> None:
    keep(memory, "cat")
    met: list[str] = []

    def once_more(_done: int, _all: int) -> None:
        with pytest.raises(StoreError, match=r"out\.tar is being exported by another process: wait for it") as error:
            export(memory.folder, tmp_path / "out.tar", "demo")
        met.append(str(error.value))

    export(memory.folder, tmp_path / "out.tar", "demo", on_progress=once_more)
    assert met
    assert members(tmp_path / "out.tar").keys() >= content_of("cat").keys()


def test_full_disk_leaves_nothing_of_the_file(disk: Disk, memory: Memory, named: Named) -> None:
    large = [named(f"{number}" * 400_000) for number in range(8)]
    memory.accept(
        [Arrival(content=one.content, digest=one.digest, modality="image", source="", taken_at=None) for one in large]
    )
    disk.fill_up_to(1 << 20)
    with pytest.raises(DiskFullError, match=r"the disk of .* is full: free some space and run this again"):
        export(memory.folder, disk.folder / "out.tar", "demo")
    assert [path.name for path in disk.folder.iterdir()] == ["ballast"]
    disk.make_room()
    assert export(memory.folder, disk.folder / "out.tar", "demo").content == 8
    assert os.listdir(disk.folder) == ["out.tar"]  # noqa: PTH208 - names
