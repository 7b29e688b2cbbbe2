"""What stages leave for each other comes back as it was, whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import pytest

from converter.durable import check_room, full_disk, write_durably
from converter.stages import ArtefactError, fingerprint, load_arrays, load_record, save_arrays, save_record
from edge.errors import DiskFullError, UsageError


@dataclass(frozen=True)
class Part:
    path: PurePosixPath
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Whole:
    name: str
    parts: tuple[Part, ...]
    best: int | None


WHOLE = Whole(name="heal", parts=(Part(PurePosixPath("a/b"), (0.1, 1 / 3)),), best=None)


def test_arrays_come_back_with_shape_dtype_and_every_bit(tmp_path: Path) -> None:
    arrays = {"x": np.random.default_rng(0).normal(size=(3, 4)), "mask": np.array([True, False]), "empty": np.empty(0)}
    save_arrays(tmp_path / "a.npz", **arrays)
    loaded = load_arrays(tmp_path / "a.npz")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].tobytes() == array.tobytes()


def test_array_that_only_pickle_could_save_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^a\.npz: x holds Python objects, which only pickle can save$"):
        save_arrays(tmp_path / "a.npz", x=np.array([object()]))
    assert list(tmp_path.iterdir()) == []


def test_pickle_that_somebody_put_there_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([Path("/")], dtype=object))
    with pytest.raises(ArtefactError, match="Object arrays cannot be loaded"):
        load_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_damaged_arrays_are_named_with_what_to_remove(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ArtefactError) as caught:
        load_arrays(tmp_path / "a.npz")
    start, end = re.escape(f"{tmp_path}/a.npz cannot be read ("), re.escape(f"): remove {tmp_path} and run the same ")
    assert re.fullmatch(f"{start}.+{end}command again", str(caught.value), re.DOTALL)


def test_record_comes_back_equal(tmp_path: Path) -> None:
    save_record(tmp_path / "whole.json", WHOLE)
    assert load_record(Whole, tmp_path / "whole.json") == WHOLE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ('{"name": "x", "parts": [], "bset": 1}', "bset is not a key. Did you mean best?; best is missing"),
        ('{"name": 3, "parts": [], "best": 1}', "name is 3: must be a text"),
    ],
)
def test_record_of_another_shape_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "whole.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match=re.escape(why)):
        load_record(Whole, tmp_path / "whole.json")


def test_file_keeps_what_it_held_when_writing_fails(tmp_path: Path) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_durably(tmp_path / "file", lambda file: file.write(b"whole"))
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "file", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_room_is_told_in_megabytes(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(
        DiskFullError, match=rf"^the disk of {tmp_path} has \d+ MB free, a build needs 1000000000: free"
    ):
        check_room(tmp_path, 10**15)


def test_full_disk_is_known_by_the_systems_error_alone(tmp_path: Path) -> None:
    assert full_disk(OSError(errno.ENOSPC, "full"), tmp_path)
    assert full_disk(OSError(errno.EDQUOT, "quota"), tmp_path)
    assert full_disk(OSError(errno.EACCES, "denied"), tmp_path) is None
    assert full_disk(RuntimeError("PytorchStreamWriter failed"), tmp_path) is None


@pytest.mark.parametrize(("number", "is_full"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_tree_that_the_disk_had_no_room_for_met_a_full_disk(number: int, *, is_full: bool, tmp_path: Path) -> None:
    def refuse(source: str, _target: str) -> None:
        raise OSError(number, os.strerror(number), source)

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"a")
    with pytest.raises(shutil.Error) as met:
        shutil.copytree(tmp_path / "tree", tmp_path / "copy", copy_function=refuse)
    assert bool(full_disk(met.value, tmp_path)) == is_full


def test_fingerprint_is_of_names_and_contents_and_not_of_times_or_place(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a").write_bytes(b"a")
        (folder / "b").write_bytes(b"b" * 3_000_000)
    (other / ".cache").write_bytes(b"hidden")
    os.utime(other / "b", (0, 0))
    first = fingerprint(one)
    assert fingerprint(other) == first
    (other / "b").rename(other / "c")
    assert fingerprint(other) != first
    (one / "deep" / "a").write_bytes(b"A")
    assert fingerprint(one) != first


def test_fingerprint_of_a_file_is_of_its_name_and_content_and_tells_bytes(tmp_path: Path) -> None:
    file, told = tmp_path / "pairs.csv", list[int]()
    file.write_bytes(b"x" * 1_500_000)
    first = fingerprint(file, told.append)
    assert sum(told) == 1_500_000
    file.write_bytes(b"y" * 1_500_000)
    assert fingerprint(file) != first


def test_fingerprint_of_what_cannot_be_read_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/none cannot be read: No such file or directory$"):
        fingerprint(tmp_path / "none")
