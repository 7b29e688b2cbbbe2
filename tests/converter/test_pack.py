"""A bundle appears whole or not at all, and the device accepts it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.pack import pack, records, staged
from edge.bundle import MANIFEST, Bundle, Manifest, checksum
from edge.errors import BundleError, DiskFullError, UsageError

pytestmark = pytest.mark.convert


def fill(folder: Path, like: Manifest, *, backwards: bool = False) -> Manifest:
    """Write every file that a manifest lists, with contents that nothing could run, and a manifest that fits them."""
    for name in sorted(like.files, reverse=backwards):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    return replace(like, files=records(folder), build={}, bank=None)


@pytest.fixture
def like(bundle: Bundle) -> Manifest:
    """What the shipped bundle says of itself."""
    return bundle.manifest


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


def test_packed_bundle_is_accepted_by_the_device_and_says_what_was_packed(tmp_path: Path, like: Manifest) -> None:
    manifest = fill(tmp_path, like)
    assert pack(tmp_path, manifest).manifest == manifest
    assert Bundle.open(tmp_path).manifest == manifest


def test_equal_files_give_equal_manifests_in_whatever_order_they_were_written(tmp_path: Path, like: Manifest) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pack(tmp_path / name, fill(tmp_path / name, like, backwards=name == "two"))
        written.append((tmp_path / name / MANIFEST).read_bytes())
    assert written[0] == written[1]


def test_manifest_is_sorted_text_that_people_can_compare(tmp_path: Path, like: Manifest) -> None:
    pack(tmp_path, fill(tmp_path, like))
    text = (tmp_path / MANIFEST).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 100
    assert list(json.loads(text)["files"]) == sorted(json.loads(text)["files"])
    assert str(tmp_path) not in text  # nothing of the machine that built it


def test_bundle_that_the_device_would_refuse_is_not_packed(tmp_path: Path, like: Manifest) -> None:
    manifest = fill(tmp_path, like)
    with (tmp_path / "text" / "tokens.int4").open("ab") as table:
        table.write(b"one byte too many")
    with pytest.raises(BundleError, match=r"text/tokens\.int4 has 28 bytes, the manifest says 11"):
        pack(tmp_path, manifest)


def test_layout_that_names_a_file_which_was_not_written_is_refused(tmp_path: Path, like: Manifest) -> None:
    fill(tmp_path, like)
    (tmp_path / "image" / "head-01.weight-int8.tflite").unlink()
    with pytest.raises(ValueError, match=r"^files does not list image/head-01\.weight-int8\.tflite$"):
        replace(like, files=records(tmp_path))


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
