"""`reminisce-convert verify`: every file of a bundle is run on every runtime, and one that drifts is named."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import run
from converter.console import Console
from converter.verify import BATCHES, DriftError
from converter.verify_bundle import ITEMS, both, net_inputs, nets_of, noise, query_heads, steps_of, verify_bundle
from edge.bundle import MANIFEST, RUNTIMES, Bundle, Manifest, checksum
from edge.demo import DEMO_BUNDLE
from edge.errors import BundleError
from edge.items import Floats
from edge.relevance import NUMBERS, Norm

LITERT = {"ai-edge-litert": Path(sys.executable)}
PROGRAM = ("-m", "converter.cli")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped bundle where it may be changed."""
    return Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))


@pytest.fixture
def repack(copied: Path) -> Callable[[], Path]:
    """Makes the manifest say what the files are now, as a converter that errs would."""
    return lambda: told_as_it_is(copied)


@pytest.fixture
def small_copied(small_bundle: Bundle, tmp_path: Path) -> Path:
    """A small bundle with all that a build learns, where it may be changed."""
    return Path(shutil.copytree(small_bundle.folder, tmp_path / "bundle"))


def told_as_it_is(folder: Path) -> Path:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for name, record in manifest["files"].items():
        record |= {"bytes": (folder / name).stat().st_size, "sha256": checksum(folder / name)}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def files_of(manifest: Manifest) -> set[tuple[str, str, int]]:
    """Every file on every runtime that it is for, at every batch."""
    models = [segment.model for tower in manifest.towers for segment in tower.segments]
    places = [place for tower in manifest.towers for place in tower.exits]
    models += [model for place in places for model in (place.head, place.query, place.gate) if model is not None]
    models += [tower.predictor.model for tower in manifest.towers if tower.predictor is not None]
    variants = [variant for model in models for variant in model.variants]
    return {(str(v.path), runtime, batch) for v in variants for runtime in v.runtimes for batch in BATCHES}


@pytest.mark.slow
def test_shipped_bundle_agrees_on_both_runtimes_and_every_file_gets_its_line(
    tflite_python: Path, bundle: Bundle
) -> None:
    done = run("verify", DEMO_BUNDLE, "--tflite-python", tflite_python, program=PROGRAM)
    assert done.code == 0, done.err
    lines = [line.split() for line in done.err.splitlines() if " cosine " in line]
    found = [(path, runtime.rstrip(","), int(batch)) for path, runtime, _, batch, *_ in lines]
    assert set(found) == files_of(bundle.manifest)
    assert len(found) == len(set(found))
    files = len({path for path, _, _ in found})
    assert done.out == f"{DEMO_BUNDLE}: {files} files agree on ai-edge-litert and tflite-runtime\n"


def test_query_heads_gates_and_predictor_are_run_as_well(
    small_bundle: Bundle, runtimes: dict[str, Path], console: Console
) -> None:
    parities = verify_bundle(small_bundle.folder, runtimes, console)
    found = [(parity.path, parity.runtime, parity.batch) for parity in parities]
    assert set(found) == files_of(small_bundle.manifest)
    assert {path.partition(".")[0] for path, _, _ in found} >= {"image/gate-02", "image/predictor", "text/head-00"}
    assert len(found) == len(set(found))  # a head that exits share is run once


def test_gates_read_what_the_bank_says_of_items_at_their_exits(small_bundle: Bundle) -> None:
    tower, random = small_bundle.manifest.tower("image"), np.random.default_rng(0)
    made = {f"exit {place.depth}": unit(random.standard_normal((ITEMS, 16))) for place in tower.exits}
    made["segment 1"] = random.standard_normal((ITEMS, 17, 32)).astype(np.float32)
    banks = [unit(random.standard_normal((24, 16))) for _ in tower.exits]
    inputs = net_inputs(small_bundle.folder, tower, banks, made)
    assert inputs.keys() == {value for step in nets_of(tower) for value in step.reads.values()}
    assert {name: rows.shape for name, rows in inputs.items()} == {
        "gate 2 input": (ITEMS, NUMBERS),
        "gate 3 input": (ITEMS, 2 * NUMBERS + 2),
        "gate 4 input": (ITEMS, 2 * NUMBERS + 2),
        "predictor input": (ITEMS, NUMBERS + 64),
    }
    nearest = (made["exit 3"] @ banks[1].T).max(1)
    np.testing.assert_allclose(inputs["gate 3 input"][:, 0], nearest, atol=1e-6)


def unit(rows: Any) -> Floats:
    made: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


@pytest.mark.parametrize("damaged", ["image/gate-01.float32.tflite", "text/head-00.weight-int8.tflite"])
def test_query_head_or_gate_that_cannot_be_run_is_refused(small_copied: Path, damaged: str, console: Console) -> None:
    (small_copied / damaged).write_bytes(b"no flatbuffer")
    with pytest.raises(DriftError, match=r"^ai-edge-litert cannot run the exported files \(exit code "):
        verify_bundle(told_as_it_is(small_copied), LITERT, console)


def test_bank_with_a_row_that_is_no_number_is_named(small_copied: Path, console: Console) -> None:
    content = bytearray((small_copied / "bank.int8").read_bytes())
    content[:2] = np.float16("nan").tobytes()
    (small_copied / "bank.int8").write_bytes(content)
    with pytest.raises(BundleError, match=r"/bank\.int8 must hold finite numbers: convert again$"):
        verify_bundle(told_as_it_is(small_copied), LITERT, console)


def test_norm_of_another_predictor_is_named(small_copied: Path, console: Console) -> None:
    Norm(np.zeros(9, np.float32), np.ones(9, np.float32)).write(small_copied / "image" / "predictor.norm")
    with pytest.raises(BundleError, match=r"/predictor\.norm does not fit the first exit \(.*\): convert again$"):
        verify_bundle(told_as_it_is(small_copied), LITERT, console)


def test_query_heads_run_behind_the_text_tower_and_its_own_is_not_run_twice(small_bundle: Bundle) -> None:
    text, image = (small_bundle.manifest.tower(modality) for modality in ("text", "image"))
    (shared,) = query_heads(small_bundle.manifest, text)
    assert shared == image.exits[0].query
    assert query_heads(small_bundle.manifest, image) == []
    assert [(step.reads["x"], step.writes) for step in steps_of(text, [shared])] == [
        ("x", "segment 0"),
        ("segment 0", "exit 1"),
        ("segment 0", "query head 0"),
    ]


def test_reference_agrees_with_itself_and_other_variants_come_close(console: Console) -> None:
    parities = {(parity.path, parity.batch): parity for parity in verify_bundle(DEMO_BUNDLE, LITERT, console)}
    first = parities["text/seg-00.dynamic-int8.tflite", 1]
    assert first.cosine == pytest.approx(1)
    assert first.difference == 0
    assert 0.96 < parities["text/seg-00.weight-int8.tflite", 8].cosine < 0.9999


def test_file_that_is_silently_wrong_on_one_runtime_is_named_with_cosine_and_bound(
    copied: Path, tflite_python: Path, console: Console
) -> None:
    text = (copied / MANIFEST).read_text(encoding="utf-8")
    manifest = json.loads(text)
    (variants,) = (s["model"]["variants"] for t in manifest["towers"] if t["modality"] == "text" for s in t["segments"])
    variants[0]["runtimes"] = list(RUNTIMES)  # per-channel dynamic INT8, which tflite-runtime computes wrong
    (copied / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DriftError) as caught:
        verify_bundle(copied, {**LITERT, "tflite-runtime": tflite_python}, console)
    start, _, rest = str(caught.value).partition(" is ")
    assert start == (
        "text/seg-00.dynamic-int8.tflite on tflite-runtime, batch 1:"
        " cosine with the default on ai-edge-litert, batch 1,"
    )
    measured, _, bound = rest.partition(", must reach ")
    assert float(measured) < 0.5
    assert bound == "0.9602: do not use this bundle, convert again"


def test_variant_with_other_weights_than_the_first_is_named(
    copied: Path, repack: Callable[[], Path], console: Console
) -> None:
    file = copied / "text" / "seg-00.weight-int8.tflite"
    content = bytearray(file.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + 60_000)
    content[middle] = np.random.default_rng(0).bytes(60_000)
    file.write_bytes(content)
    with pytest.raises(DriftError, match=r"^text/seg-00\.weight-int8\.tflite on ai-edge-litert, batch 1: cosine with"):
        verify_bundle(repack(), LITERT, console)


def test_damaged_bundle_is_refused_before_anything_is_run(copied: Path, console: Console) -> None:
    file = copied / "image" / "seg-01.float16.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"image/seg-01\.float16\.tflite does not match its checksum"):
        verify_bundle(copied, LITERT, console)


def test_file_that_no_runtime_can_run_is_refused_with_the_runtimes_words(
    copied: Path, repack: Callable[[], Path], console: Console
) -> None:
    (copied / "image" / "head-00.weight-int8.tflite").write_bytes(b"no flatbuffer")
    with pytest.raises(DriftError, match=r"^ai-edge-litert cannot run the exported files \(exit code "):
        verify_bundle(repack(), LITERT, console)


def test_what_is_no_bundle_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = run("verify", tmp_path, "--tflite-python", sys.executable, program=PROGRAM)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"reminisce-convert: {tmp_path} is not a bundle: it has no manifest.json\n"


def test_noise_is_the_same_every_time_and_as_the_tower_takes_it(bundle: Bundle) -> None:
    for tower in bundle.manifest.towers:
        once, again = noise(bundle.folder, tower), noise(bundle.folder, tower)
        assert once.keys() == again.keys() == {"x", *tower.segments[0].extra}
        assert once["x"].shape == (ITEMS, *tower.segments[0].input)
        assert once["x"].dtype == np.float32
        for name, rows in once.items():
            assert np.array_equal(rows, again[name])
        assert not np.array_equal(once["x"][0], once["x"][1])


def test_chain_holds_every_model_behind_what_it_reads(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("image")
    steps = steps_of(tower)
    assert len(steps) == len(tower.segments) + len(tower.exits)
    made = {"x"}
    for step in steps:
        assert set(step.reads.values()) <= made
        made.add(step.writes)


def test_two_that_are_close_to_a_third_are_as_close_as_their_angles_add_up() -> None:
    assert both(1, 1) == 1
    assert both(0.99, 1) == pytest.approx(0.99)
    assert both(math.cos(0.1), math.cos(0.2)) == pytest.approx(math.cos(0.3))
