"""Room on the disk that is held for when there is none left."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest

from disks import Disk
from edge.memory.disk.reserve import Reserve

SIZE = 1 << 20


def test_restored_reserve_takes_its_room_and_gives_it_back(disk: Disk) -> None:
    reserve = Reserve(disk.folder, SIZE)
    free = disk.free
    assert not reserve.is_whole
    reserve.restore()
    assert reserve.is_whole
    assert free - disk.free >= SIZE
    assert reserve.give_up()
    assert disk.free == free


def test_reserve_that_is_given_up_is_given_up_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, SIZE)
    reserve.restore()
    assert (reserve.give_up(), reserve.give_up(), reserve.is_whole) == (True, False, False)


def test_reserve_outlasts_a_restart_and_is_not_written_twice(tmp_path: Path) -> None:
    Reserve(tmp_path, SIZE).restore()
    written = (tmp_path / "reserve").stat()
    reserve = Reserve(tmp_path, SIZE)
    reserve.restore()
    assert reserve.is_whole
    assert (tmp_path / "reserve").stat() == written
    assert stat.S_IMODE(written.st_mode) == 0o600


def test_reserve_that_a_kill_left_half_made_is_made_whole(tmp_path: Path) -> None:
    (tmp_path / "reserve").write_bytes(bytes(SIZE // 2))
    reserve = Reserve(tmp_path, SIZE)
    assert not reserve.is_whole
    reserve.restore()
    assert reserve.is_whole


def test_reserve_does_not_take_the_last_room(disk: Disk) -> None:
    disk.fill_up_to(2 * SIZE - 4096)
    with pytest.raises(OSError, match="No space left on device") as caught:
        Reserve(disk.folder, SIZE).restore()
    assert caught.value.errno == errno.ENOSPC
    assert not (disk.folder / "reserve").exists()


def test_opening_where_there_is_no_room_to_open_gives_it_up(disk: Disk) -> None:
    Reserve(disk.folder, SIZE).restore()
    disk.fill_up_to(8 << 20)
    assert Reserve(disk.folder, SIZE).is_whole
    disk.make_room()
    disk.fill_up_to(0)
    assert not Reserve(disk.folder, SIZE).is_whole
    assert disk.free >= SIZE


def test_quota_that_forbids_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(OSError, match="Disk quota exceeded"):
        Reserve(tmp_path, SIZE).restore()
    assert list(tmp_path.iterdir()) == []


def test_no_reserve_is_whole_and_makes_no_file(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 0)
    reserve.restore()
    assert reserve.is_whole
    assert not reserve.give_up()
    assert list(tmp_path.iterdir()) == []
