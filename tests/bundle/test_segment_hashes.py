"""What an activation is bound to: the preprocessing and the segments up to it, and nothing else of the bundle."""

from __future__ import annotations

from typing import Any

import pytest

from edge.bundle import Bundle, Manifest
from edge.decode import decode

Data = dict[str, Any]
OTHER = "ab" * 32


def hashes(manifest: Data, modality: str = "image") -> tuple[bytes, ...]:
    read = decode(Manifest, manifest)
    return read.segment_hashes(read.tower(modality))


def test_each_segment_has_sixteen_bytes_of_its_own(manifest: Data) -> None:
    first, second = hashes(manifest)
    assert (len(first), len(second)) == (16, 16)
    assert first != second


def test_another_first_segment_changes_everything_behind_it(manifest: Data) -> None:
    before = hashes(manifest)
    manifest["files"]["image/seg-00.tflite"]["sha256"] = OTHER
    after = hashes(manifest)
    assert (before[0] != after[0], before[1] != after[1]) == (True, True)


def test_another_last_segment_leaves_what_lies_before_it_valid(manifest: Data) -> None:
    before = hashes(manifest)
    manifest["files"]["image/seg-01.tflite"]["sha256"] = OTHER
    after = hashes(manifest)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


@pytest.mark.parametrize("name", ["text/seg-00.fast.tflite", "text/seg-00.safe.tflite"])
def test_every_variant_of_a_segment_counts(manifest: Data, name: str) -> None:
    before = hashes(manifest, "text")
    manifest["files"][name]["sha256"] = OTHER
    assert hashes(manifest, "text") != before


@pytest.mark.parametrize(("key", "value"), [("size", 9), ("mean", 128.0), ("fit", "crop")])
def test_other_pixels_change_every_segment(manifest: Data, key: str, value: object) -> None:
    before = hashes(manifest)
    manifest["towers"][0]["preprocess"][key] = value
    assert all(one != other for one, other in zip(before, hashes(manifest), strict=True))


def test_heads_gates_bank_and_the_other_tower_change_nothing(manifest: Data) -> None:
    before = hashes(manifest)
    for name, record in manifest["files"].items():
        if not name.startswith("image/seg-"):
            record["sha256"] = OTHER
    manifest["model"], manifest["build"] = "renamed", {}
    manifest["towers"][0]["exits"][0]["calibration"]["bias"] = 0.0
    assert hashes(manifest) == before


def test_name_of_a_file_is_not_what_it_holds(manifest: Data) -> None:
    before = hashes(manifest)
    manifest["files"]["image/renamed.tflite"] = manifest["files"].pop("image/seg-00.tflite")
    manifest["towers"][0]["segments"][0]["model"]["variants"][0]["path"] = "image/renamed.tflite"
    assert hashes(manifest) == before


def test_shipped_towers_have_a_hash_for_each_segment_and_none_in_common(bundle: Bundle) -> None:
    towers = bundle.manifest.towers
    found = [made_by for tower in towers for made_by in bundle.manifest.segment_hashes(tower)]
    assert len(set(found)) == len(found) == sum(len(tower.segments) for tower in towers)
