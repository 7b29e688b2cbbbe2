"""The packaged recipes, built as they are: what they take of the machine, and that the device opens what comes out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from conftest import DATA
from converter.recipe import RECIPES, load_recipe
from converter.report import ExitFigures, Report, read_report
from converter.towers.random_checkpoint import write_random
from edge.bundle import Bundle
from measured import Measured, measured
from tiny_build import convert

pytestmark = [pytest.mark.convert, pytest.mark.slow, pytest.mark.timeout(1500)]


def build(folder: Path, tflite_python: Path, *words: str | Path) -> Measured:
    """Build into `folder`/build, and print what it took."""
    done = measured(folder, *words, "--tflite-python", tflite_python, "--out", folder / "build")
    print(f"\n{words[0]} {words[1] if len(words) > 1 else ''}: {done}")  # noqa: T201 - figures for a person
    assert done.code == 0, done.err
    return done


def size_mb(bundle: Bundle) -> float:
    return sum(record.bytes for record in bundle.manifest.files.values()) / 1e6


@pytest.fixture(scope="module")
def vit_tiny() -> Path:
    folder = DATA / "vit-tiny-patch16-224"
    if not folder.is_dir():
        pytest.skip(f"DATA SKIPPED: no ViT-Tiny at {folder}; set DATA to the folder that holds vit-tiny-patch16-224/")
    return folder


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory, tflite_python: Path, vit_tiny: Path, flickr8k: Path
) -> tuple[Measured, Report]:
    """ViT-Tiny on Flickr8k without healing: six minutes, for which CI's half hour has no room."""
    if os.environ.get("CI"):
        pytest.skip("takes six minutes: run by make test, not in CI")
    folder = tmp_path_factory.mktemp("vit-tiny")
    words = ("run", "vit-tiny-flickr8k", "--checkpoint", vit_tiny, "--data", flickr8k, "--quick")
    done = build(folder, tflite_python, *words)
    return done, read_report(folder / "build")


def exit_at(report: Report, depth: int) -> ExitFigures:
    return next(one for one in report.exits if one.depth == depth)


def test_demo_without_photos_gives_a_small_bundle_for_any_use(tmp_path: Path, tflite_python: Path) -> None:
    build(tmp_path, tflite_python, "demo")
    bundle = Bundle.open(tmp_path / "build" / "bundle")
    assert (bundle.manifest.purpose, bundle.manifest.calibrated) == ("any", False)
    assert size_mb(bundle) <= 40


def test_a_published_clip_folder_of_true_size_is_converted_in_minutes_and_4_gb_and_is_not_calibrated(
    tmp_path: Path, tflite_python: Path
) -> None:
    folder = tmp_path / "clip-vit-base-patch32"
    folder.mkdir()
    write_random(folder, "clip-vit-b32")
    done = build(tmp_path, tflite_python, "run", "clip-vit-b32", "--checkpoint", folder, "--query-checkpoint", folder)
    assert done.peak_mb <= 4000
    assert done.seconds <= 600 or not done.is_quiet
    bundle = Bundle.open(tmp_path / "build" / "bundle")
    assert not bundle.manifest.calibrated
    assert bundle.manifest.dimension == 512
    assert convert("verify", bundle.folder, "--tflite-python", tflite_python).code == 0


def test_the_recipe_of_a_random_clip_makes_the_same_files_without_a_folder() -> None:
    named, random = (load_recipe(RECIPES / f"clip-vit-b32{name}.yaml") for name in ("", "-random"))
    assert random.item.checkpoint == random.query.checkpoint == "random"
    bare = replace(random, model=named.model, item=replace(random.item, checkpoint=""))
    assert replace(bare, query=replace(bare.query, checkpoint="")) == named


@pytest.mark.data
def test_vit_tiny_without_healing_takes_minutes(report: tuple[Measured, Report]) -> None:
    done, _ = report
    assert done.seconds <= 360 or not done.is_quiet


@pytest.mark.data
def test_vit_tinys_probabilities_are_right_and_cost_no_recall(report: tuple[Measured, Report]) -> None:
    calibration = report[1].calibration
    assert calibration
    assert calibration.ece <= 0.01
    assert calibration.brier_skill >= 0.10
    assert calibration.gain is not None
    assert calibration.gain >= 0


@pytest.mark.data
def test_activations_of_vit_tiny_are_as_torch_has_them_at_every_depth(report: tuple[Measured, Report]) -> None:
    segments = [line.cosine for line in report[1].parity if line.file.startswith("image/seg")]
    assert segments
    assert min(segments) >= 0.997


@pytest.mark.data
def test_depth_5_and_a_pool_of_50_keep_recall_of_the_full_tower(report: tuple[Measured, Report]) -> None:
    early, full = exit_at(report[1], 5), exit_at(report[1], 12)
    (pool,) = (one for one in early.kept if one.pool == 50)
    assert pool.calibrated
    assert full.calibrated
    assert pool.calibrated.at_1 >= 0.95 * full.calibrated.at_1
