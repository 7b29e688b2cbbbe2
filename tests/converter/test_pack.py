"""A bundle appears whole or not at all, and the device accepts it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter import layout
from converter.pack import pack, records, staged
from edge.bundle import MANIFEST, Bundle, Manifest, checksum
from edge.errors import BundleError, DiskFullError, UsageError
from learnt_small import Small, manifest

pytestmark = pytest.mark.convert


def paths_in(value: Any) -> Iterator[str]:
    """Every path in a tree of dicts and lists."""
    if isinstance(value, PurePosixPath):
        yield str(value)
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from paths_in(part)


def fill(folder: Path, small: Small, *, backwards: bool = False) -> Manifest:
    """Write every file that the layout names, with contents that nothing could run, and say so in a manifest."""
    image = layout.item_spec(small.recipe, small.item, small.learnt)
    towers = (image, layout.query_spec(small.recipe, small.query, image.exits[-1].query))
    for path in sorted(set(paths_in([asdict(tower) for tower in towers])), reverse=backwards):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(path.encode())
    bank = layout.bank_entry(small.learnt)
    assert bank is not None
    (folder / bank.path).write_bytes(bytes(bank.bytes))
    return manifest(folder, small, towers)


def test_target_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with staged(out) as folder:
        (folder / "image").mkdir()
        (folder / "image" / "seg-00.tflite").write_bytes(b"layers")
        assert not out.exists()
        assert folder.parent == tmp_path  # on the same disk, so that the move is one step
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (out / "image" / "seg-00.tflite").read_bytes() == b"layers"


def test_target_can_be_read_by_everyone(tmp_path: Path) -> None:
    with staged(tmp_path / "bundle"):
        pass
    assert (tmp_path / "bundle").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_error_or_interrupt_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def build() -> None:
        with staged(tmp_path / "bundle") as folder:
            (folder / "half").write_bytes(b"half")
            raise error

    with pytest.raises(error):
        build()
    assert list(tmp_path.iterdir()) == []


def test_target_that_appears_during_the_build_is_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "bundle"

    def build() -> None:
        with staged(out) as folder:
            (folder / "ours").write_bytes(b"ours")
            out.mkdir()
            (out / "theirs").write_bytes(b"theirs")

    with pytest.raises(OSError, match="not empty"):
        build()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "bundle",
        "bundle/theirs",
    ]


def test_empty_target_folder_and_missing_parents_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "deep" / "bundle"):
        with staged(out) as folder:
            (folder / "file").touch()
        assert (out / "file").is_file()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_target_that_holds_something_is_refused_before_the_build_and_kept(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "bundle"
    kept = out / "kept" if kind == "folder" else out
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(b"kept")
    with pytest.raises(UsageError) as caught, staged(out):
        pytest.fail("the build began")
    assert str(caught.value) == f"{out} exists and is not an empty folder: remove it, or choose another"
    assert caught.value.exit_code == 2
    assert kept.read_bytes() == b"kept"


def replaced(out: Path, *, fails: bool = False) -> None:
    with staged(out, replacing=True) as folder:
        assert (out / "old").is_file()
        (folder / "new").touch()
        if fails:
            raise ValueError("no bundle")


def test_earlier_bundle_stays_until_the_new_one_is_whole_and_is_then_replaced(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(ValueError, match="no bundle"):
        replaced(out, fails=True)
    assert [path.name for path in out.iterdir()] == ["old"]
    replaced(out)
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_earlier_bundle_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "bundle", Path.rename

    def fail(self: Path, target: Path) -> Path:
        if (self / "new").is_file():
            raise OSError("the disk went away")
        return rename(self, target)

    out.mkdir()
    (out / "old").touch()
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="went away"):
        replaced(out)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["bundle", "bundle/old"]


def test_first_bundle_needs_none_to_replace(tmp_path: Path) -> None:
    with staged(tmp_path / "bundle", replacing=True) as folder:
        (folder / "new").touch()
    assert (tmp_path / "bundle" / "new").is_file()


def test_target_below_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"/file/deep/bundle cannot be written: Not a directory$"):
        staged(tmp_path / "file" / "deep" / "bundle").__enter__()


def test_records_list_every_file_but_the_manifest_with_size_and_checksum(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "b").write_bytes(b"bb")
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / MANIFEST).write_bytes(b"{}")
    found = records(tmp_path)
    assert list(found) == ["a", "text/b"]
    assert (found["text/b"].bytes, found["text/b"].sha256) == (2, checksum(tmp_path / "text" / "b"))


def test_packed_bundle_is_accepted_by_the_device_and_says_what_was_packed(tmp_path: Path, small: Small) -> None:
    said = fill(tmp_path, small)
    assert pack(tmp_path, said).manifest == said
    assert Bundle.open(tmp_path).manifest == said


def test_equal_files_give_equal_manifests_in_whatever_order_they_were_written(tmp_path: Path, small: Small) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pack(tmp_path / name, fill(tmp_path / name, small, backwards=name == "two"))
        written.append((tmp_path / name / MANIFEST).read_bytes())
    assert written[0] == written[1]


def test_manifest_is_sorted_text_that_people_can_compare(tmp_path: Path, small: Small) -> None:
    pack(tmp_path, fill(tmp_path, small))
    text = (tmp_path / MANIFEST).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 100
    assert list(json.loads(text)["files"]) == sorted(json.loads(text)["files"])
    assert str(tmp_path) not in text  # nothing of the machine that built it


def test_bundle_that_the_device_would_refuse_is_not_packed(tmp_path: Path, small: Small) -> None:
    said = fill(tmp_path, small)
    with (tmp_path / "text" / "tokens.int4").open("ab") as table:
        table.write(b"one byte too many")
    with pytest.raises(BundleError, match=r"text/tokens\.int4 has 33 bytes, the manifest says 16"):
        pack(tmp_path, said)


@pytest.mark.parametrize(
    "name",
    [
        "bank.int8",
        "image/gate-01.float32.tflite",
        "image/head-01.weight-int8.tflite",
        "image/predictor.norm",
        "text/head-00.weight-int8.tflite",
        "text/positions.f32",
    ],
)
def test_layout_that_names_a_file_which_was_not_written_is_refused(tmp_path: Path, small: Small, name: str) -> None:
    towers = fill(tmp_path, small).towers
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"^files does not list {re.escape(name)}$"):
        manifest(tmp_path, small, towers)


def test_disk_without_room_for_a_bundle_is_told_before_the_work_and_left_as_it_was(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of our own to fill: {done.stderr.strip()}")
    try:
        with pytest.raises(DiskFullError) as caught, staged(disk / "bundle"):
            pytest.fail("the work began")
        assert str(caught.value) == f"the disk of {disk} has 21 MB free, a build needs 100: free some space"
        assert caught.value.exit_code == 1
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: S607 - umount of the system
