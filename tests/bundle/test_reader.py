from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from edge.bundle import MANIFEST, SCHEMA, Bundle, checksum
from edge.errors import BundleError, ReminisceError

SEGMENT = "image/seg-01.tflite"
AGAIN = "copy it again, or convert again"


def refusal_of(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    return str(caught.value)


def write(folder: Path, manifest: object) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_whole_bundle_opens(folder: Path) -> None:
    bundle = Bundle.open(folder)
    assert bundle.manifest.model == "small"
    assert bundle.path(PurePosixPath(SEGMENT)).read_bytes() == b"its last layers"


def test_fingerprint_is_the_checksum_of_the_manifest(folder: Path) -> None:
    assert Bundle.open(folder).fingerprint == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def test_fingerprint_changes_with_any_file(folder: Path, manifest: dict[str, Any]) -> None:
    before = Bundle.open(folder).fingerprint
    flip_a_byte(folder / SEGMENT)
    manifest["files"][SEGMENT]["sha256"] = checksum(folder / SEGMENT)
    write(folder, manifest)
    assert Bundle.open(folder).fingerprint != before


def test_checksum_is_sha256_also_of_a_file_of_many_chunks(tmp_path: Path) -> None:
    content = os.urandom((2 << 20) + 3)
    (tmp_path / "file").write_bytes(content)
    assert checksum(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_one_changed_byte_in_any_file_is_found_and_the_file_named(folder: Path, manifest: dict[str, Any]) -> None:
    for name in manifest["files"]:
        kept = (folder / name).read_bytes()
        flip_a_byte(folder / name)
        assert refusal_of(folder) == f"{folder / name} does not match its checksum in the manifest: {AGAIN}"
        (folder / name).write_bytes(kept)


def test_truncated_file_is_refused_with_both_sizes(folder: Path) -> None:
    os.truncate(folder / SEGMENT, 10)
    assert refusal_of(folder) == f"{folder / SEGMENT} has 10 bytes, the manifest says 15: {AGAIN}"


def test_file_that_grew_is_refused_with_both_sizes(folder: Path) -> None:
    (folder / SEGMENT).write_bytes(b"its last layers and more")
    assert refusal_of(folder) == f"{folder / SEGMENT} has 24 bytes, the manifest says 15: {AGAIN}"


def test_missing_file_is_named(folder: Path) -> None:
    (folder / SEGMENT).unlink()
    assert refusal_of(folder) == f"{folder / SEGMENT} cannot be read (No such file or directory): {AGAIN}"


def test_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / SEGMENT).unlink()
    (folder / SEGMENT).mkdir()
    assert refusal_of(folder) == f"{folder / SEGMENT} is not a file: {AGAIN}"


def test_pipe_in_place_of_a_file_is_refused_and_not_waited_for(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / SEGMENT).unlink()
    os.mkfifo(folder / SEGMENT)
    manifest["files"][SEGMENT]["bytes"] = 0
    write(folder, manifest)
    assert refusal_of(folder) == f"{folder / SEGMENT} is not a file: {AGAIN}"


def test_link_out_of_the_bundle_is_refused_even_if_its_content_is_right(folder: Path, tmp_path: Path) -> None:
    (folder / SEGMENT).rename(tmp_path / "elsewhere")
    (folder / SEGMENT).symlink_to(tmp_path / "elsewhere")
    expected = f"{folder / SEGMENT} is a link out of the bundle: replace it by the file itself"
    assert refusal_of(folder) == expected


def test_folder_that_is_a_link_out_of_the_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "image").rename(tmp_path / "elsewhere")
    (folder / "image").symlink_to(tmp_path / "elsewhere")
    assert "is a link out of the bundle: replace it by the file itself" in refusal_of(folder)


def test_link_to_a_file_of_the_same_bundle_is_followed(folder: Path) -> None:
    (folder / SEGMENT).rename(folder / "image/kept.tflite")
    (folder / SEGMENT).symlink_to("kept.tflite")
    assert Bundle.open(folder).path(PurePosixPath(SEGMENT)).read_bytes() == b"its last layers"


def test_bundle_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert Bundle.open(tmp_path / "current").manifest.model == "small"


def test_link_to_itself_is_refused(folder: Path) -> None:
    (folder / SEGMENT).unlink()
    (folder / SEGMENT).symlink_to(folder / SEGMENT)
    assert refusal_of(folder) == f"{folder / SEGMENT} cannot be read (Too many levels of symbolic links): {AGAIN}"


@pytest.mark.parametrize("made", ["nothing", "a folder", "a file"])
def test_place_without_a_manifest_is_not_a_bundle(tmp_path: Path, made: str) -> None:
    place = tmp_path / "place"
    if made == "a folder":
        place.mkdir()
    elif made == "a file":
        place.touch()
    assert refusal_of(place) == f"{place} is not a bundle: it has no manifest.json"


def test_manifest_that_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    assert refusal_of(tmp_path) == f"{tmp_path / MANIFEST} cannot be read: Is a directory"


@pytest.mark.parametrize(
    "content",
    [b"", b'{"schema": 1,', b"\xff\xfe{", b"[" * 200_000],
    ids=["empty", "cut off", "not UTF-8", "too deep"],
)
def test_manifest_that_is_not_json_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    message = refusal_of(tmp_path)
    assert message.startswith(f"{tmp_path / MANIFEST} is damaged (")
    assert message.endswith(f"): {AGAIN}")


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, None, "1", [1]])
def test_other_schema_is_refused_with_both_schemas_before_any_other_complaint(tmp_path: Path, schema: object) -> None:
    write(tmp_path, {"schema": schema, "towres": [], "files": {"../key": 3}})
    expected = f"{tmp_path / MANIFEST} has schema {schema}, this version reads {SCHEMA}: "
    assert refusal_of(tmp_path) == f"{expected}upgrade reminisce-edge, or convert again"


@pytest.mark.parametrize("manifest", [{}, [], "bundle", 1, None])
def test_json_without_a_schema_is_refused_as_one_of_schema_none(tmp_path: Path, manifest: object) -> None:
    write(tmp_path, manifest)
    assert f"has schema None, this version reads {SCHEMA}" in refusal_of(tmp_path)


def test_every_problem_of_a_manifest_is_listed_with_its_file(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["licence"] = 2
    manifest["towers"][0]["layers"] = 5
    manifest["towers"][1]["preprocess"]["tokenizer"] = "/etc/passwd"
    write(folder, manifest)
    assert refusal_of(folder).splitlines() == [
        f"{folder / MANIFEST}: licence is 2: must be a text",
        f"{folder / MANIFEST}: towers[0]: segment depths [2, 4] must rise to the tower's 5 layers",
        f"{folder / MANIFEST}: towers[1].preprocess: path '/etc/passwd' must stay inside the bundle",
    ]


def test_file_outside_is_refused_although_it_is_there_and_its_checksum_is_right(
    folder: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    manifest["files"]["../key"] = {"bytes": 6, "sha256": checksum(tmp_path / "key")}
    write(folder, manifest)
    assert refusal_of(folder) == f"{folder / MANIFEST}: path '../key' must stay inside the bundle"


def test_refused_bundle_ends_the_command_with_code_1(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.open(tmp_path)
    assert caught.value.exit_code == 1
    assert isinstance(caught.value, ReminisceError)
    assert isinstance(caught.value, ValueError)


def test_shipped_bundle_holds_at_most_40_mb_and_nothing_that_it_does_not_list(bundle: Bundle) -> None:
    found = {path.relative_to(bundle.folder): path for path in bundle.folder.rglob("*") if path.is_file()}
    assert {str(name) for name in found} == {MANIFEST, *bundle.manifest.files}
    assert sum(path.stat().st_size for path in found.values()) <= 40_000_000


def test_shipped_bundle_names_its_sources_and_that_it_is_for_evaluation(bundle: Bundle) -> None:
    assert bundle.manifest.purpose == "for evaluation"
    assert bundle.manifest.licence
    for source in ("EfficientNet-Lite0", "all-MiniLM-L6-v2", "WordNet", "Flickr8k"):
        assert [line for line in bundle.manifest.attribution if source in line], source


def test_shipped_bundle_has_an_image_and_a_text_tower_with_one_dimension(bundle: Bundle) -> None:
    assert {tower.modality for tower in bundle.manifest.towers} == {"image", "text"}
    assert bundle.manifest.dimension == 384


def test_one_changed_byte_in_the_shipped_bundle_is_found(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "copy")
    name = max(bundle.manifest.files, key=lambda name: bundle.manifest.files[name].bytes)
    flip_a_byte(tmp_path / "copy" / name)
    with pytest.raises(BundleError, match=re.escape(f"copy/{name} does not match its checksum in the manifest")):
        Bundle.open(tmp_path / "copy")
