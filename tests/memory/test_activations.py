"""The cache's folder: what was put is got back, and whatever is wrong with a file makes it a miss and nothing worse."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from disks import Disk
from edge.items import Floats
from edge.memory.cache.activations import Activations
from edge.memory.cache.codes import pack, unpack
from edge.memory.cache.worth import Worth

HASHES = tuple(bytes([number]) * 16 for number in range(1, 5))
ANOTHER_BUNDLE = tuple(bytes([number]) * 16 for number in range(11, 15))
WORTH = Worth(recompute_ms=40, seen_at=1_700_000_000)
PLENTY = 10**9


def tokens(seed: int = 0, shape: tuple[int, ...] = (20, 192)) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def put(cache: Activations, item: int, segment: int = 1, seed: int = 0) -> bool:
    return cache.put(item, segment, HASHES[segment], tokens(seed), 4, WORTH)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "activations"


@pytest.fixture
def cache(folder: Path) -> Activations:
    return Activations(folder, PLENTY, lambda: 1_700_000_100)


def test_activation_comes_back_with_its_segment_as_packing_leaves_it(cache: Activations) -> None:
    assert put(cache, 7, segment=2)
    found = cache.get(7, HASHES)
    assert found is not None
    assert found[0] == 2
    np.testing.assert_array_equal(found[1], unpack(pack(tokens(), 4), (20, 192), 4))


def test_each_item_has_its_own(cache: Activations) -> None:
    for item in (1, 2, 257, 513):  # 1, 257 and 513 share a folder
        put(cache, item, seed=item)
    for item in (1, 2, 257, 513):
        found = cache.get(item, HASHES)
        assert found is not None
        assert np.abs(found[1] - tokens(item)).max() < 0.5


def test_on_disk_it_is_packed_and_counted_to_the_byte(cache: Activations, folder: Path) -> None:
    for item in range(10):
        put(cache, item)
    sizes = [path.stat().st_size for path in files(folder)]
    assert (cache.count, cache.size_bytes) == (10, sum(sizes)) == (len(sizes), sum(sizes))
    assert max(sizes) * 6.5 < tokens().nbytes


def test_what_was_put_is_there_after_the_cache_is_opened_again(cache: Activations, folder: Path) -> None:
    for item in range(300):
        put(cache, item)
    again = Activations(folder, PLENTY)
    assert (again.count, again.size_bytes) == (cache.count, cache.size_bytes) == (300, cache.size_bytes)
    assert all(again.get(item, HASHES) for item in range(300))


def test_hits_and_misses_are_counted_from_opening_on(cache: Activations, folder: Path) -> None:
    put(cache, 7)
    for item in (7, 7, 8):
        cache.get(item, HASHES)
    assert (cache.hits, cache.misses) == (2, 1)
    again = Activations(folder, PLENTY)
    assert (again.hits, again.misses) == (0, 0)


def test_later_activation_of_an_item_replaces_the_earlier_one(cache: Activations, folder: Path) -> None:
    put(cache, 7, segment=1)
    put(cache, 7, segment=3, seed=1)
    found = cache.get(7, HASHES)
    assert found is not None
    assert found[0] == 3
    assert (cache.count, len(files(folder))) == (1, 1)
    assert cache.size_bytes == files(folder)[0].stat().st_size


def test_the_same_activation_put_twice_is_one(cache: Activations, folder: Path) -> None:
    assert (put(cache, 7), put(cache, 7)) == (True, True)
    assert (cache.count, len(files(folder))) == (1, 1)
    assert cache.get(7, HASHES)


def test_removed_activations_are_gone_and_their_neighbours_are_not(cache: Activations, folder: Path) -> None:
    for item in (1, 2, 3):
        put(cache, item)
    cache.remove([1, 3, 99])
    assert [cache.get(item, HASHES) is not None for item in (1, 2, 3)] == [False, True, False]
    assert (cache.count, len(files(folder))) == (1, 1)


def test_folders_are_closed_to_others_and_none_grows_beyond_its_share(cache: Activations, folder: Path) -> None:
    for item in range(512):
        put(cache, item)
    held = [path for path in folder.iterdir() if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, *held)} == {0o700}
    assert {len(list(path.iterdir())) for path in held} == {2}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_activation_that_cannot_be_packed_is_not_kept(cache: Activations, folder: Path, value: float) -> None:
    spoilt = tokens()
    spoilt[3, 5] = value
    assert cache.put(7, 1, HASHES[1], spoilt, 4, WORTH) is False
    assert (cache.count, files(folder)) == (0, [])


def test_after_a_bundle_change_every_activation_is_a_miss_and_removed(cache: Activations, folder: Path) -> None:
    put(cache, 7)
    assert cache.get(7, ANOTHER_BUNDLE) is None
    assert (cache.count, cache.size_bytes, files(folder)) == (0, 0, [])
    assert cache.get(7, HASHES) is None


def test_activation_of_a_bundle_with_more_segments_is_a_miss(cache: Activations) -> None:
    put(cache, 7, segment=3)
    assert cache.get(7, HASHES[:2]) is None
    assert cache.count == 0


def test_all_that_another_bundle_left_can_be_swept_at_once(cache: Activations, folder: Path) -> None:
    for item in range(5):
        put(cache, item, segment=item % 4)
    assert cache.keep_only(HASHES) == 0
    assert cache.keep_only([*HASHES[:1], *ANOTHER_BUNDLE]) == 3
    assert (cache.count, len(files(folder))) == (2, 2)
    assert all(cache.get(item, HASHES) for item in (0, 4))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 16
    path.write_bytes(content)


def _lose(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("spoil", "damage"), [(_truncate, 1), (_empty, 1), (_grow, 1), (_flip, 1), (_lose, 0)])
@pytest.mark.parametrize("reopened", [False, True])
def test_spoilt_file_is_a_miss_and_removed_and_can_be_put_again(
    cache: Activations, folder: Path, spoil: Callable[[Path], None], damage: int, *, reopened: bool
) -> None:
    put(cache, 7)
    put(cache, 8)
    spoil(next(path for path in files(folder) if path.name.startswith("7-")))
    cache = Activations(folder, PLENTY) if reopened else cache
    assert cache.get(7, HASHES) is None
    assert cache.get(8, HASHES) is not None
    assert (cache.misses, cache.damaged) == (1, damage)
    assert (cache.count, [path.name[:2] for path in files(folder)]) == (1, ["8-"])
    assert put(cache, 7)
    assert cache.get(7, HASHES) is not None


def test_damage_is_told_aloud_once_and_counted(
    cache: Activations, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for item in (7, 8, 9):
        put(cache, item)
    for path in files(folder)[:2]:
        _flip(path)
    assert [cache.get(item, HASHES) is None for item in (7, 8, 9)] == [True, True, False]
    assert (cache.damaged, cache.misses) == (2, 2)
    (told,) = caplog.records
    assert told.message == (
        "the cached activation of item 7 is damaged (the file does not match its checksum): it is computed anew from"
        " the raw item; `state` counts the others"
    )


def test_file_under_another_items_name_is_a_miss(cache: Activations, folder: Path) -> None:
    put(cache, 7)
    (file,) = files(folder)
    file.rename(file.with_name(file.name.replace("7-", "263-", 1)))  # the same folder
    again = Activations(folder, PLENTY)
    assert again.count == 1
    assert again.get(263, HASHES) is None
    assert files(folder) == []


def test_shortage_of_handles_is_a_miss_that_costs_no_file(cache: Activations, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, 7)

    def refuse(_path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        assert cache.get(7, HASHES) is None
    assert cache.get(7, HASHES) is not None


def test_opening_removes_unfinished_files_and_leaves_those_that_are_not_ours(cache: Activations, folder: Path) -> None:
    put(cache, 7)
    (ours,) = files(folder)
    unfinished = ours.with_name(ours.name.replace("7-", "263-", 1) + ".tmp")
    unfinished.write_bytes(b"RAC")
    strangers = [ours.with_name(name) for name in ("notes.txt", "8-1-1-1-1.int4", f"{ours.name}.bak", "x.tmp")]
    strangers += [folder / "08", folder / "README"]
    strangers += [folder / "zz" / ours.name]
    (folder / "zz").mkdir()
    for stranger in strangers:
        stranger.write_bytes(b"not ours")
    again = Activations(folder, PLENTY)
    assert (again.count, again.size_bytes) == (1, ours.stat().st_size)
    assert files(folder) == sorted([ours, *strangers])


def test_of_two_files_that_a_kill_left_of_one_item_the_deeper_stays(cache: Activations, folder: Path) -> None:
    put(cache, 7, segment=1)
    (shallow,) = files(folder)
    content = shallow.read_bytes()
    put(cache, 7, segment=3)
    shallow.write_bytes(content)
    again = Activations(folder, PLENTY)
    assert (again.count, len(files(folder))) == (1, 1)
    found = again.get(7, HASHES)
    assert found is not None
    assert found[0] == 3


def test_full_disk_refuses_and_leaves_nothing_behind_and_works_again_with_room(disk: Disk) -> None:
    cache = Activations(disk.folder / "activations", PLENTY)
    assert put(cache, 1)
    disk.fill_up_to(0)
    assert put(cache, 2) is False
    assert [path.suffix for path in files(disk.folder / "activations")] == [".int4"]
    assert (cache.count, cache.get(2, HASHES)) == (1, None)
    assert cache.get(1, HASHES) is not None
    disk.make_room()
    assert put(cache, 2)
    assert cache.get(2, HASHES) is not None


def test_write_that_fails_half_way_leaves_the_earlier_activation(
    cache: Activations, folder: Path, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    put(cache, 7, segment=1)
    with file_size_limit(100):
        assert put(cache, 7, segment=2) is False
    assert len(files(folder)) == 1
    found = cache.get(7, HASHES)
    assert found is not None
    assert found[0] == 1


def test_folder_in_the_way_of_a_file_refuses_that_file_alone(cache: Activations, folder: Path) -> None:
    (folder / "07").write_bytes(b"in the way")
    assert put(cache, 7) is False
    assert put(cache, 8) is True
