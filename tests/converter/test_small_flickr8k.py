"""Every stage of a build, healing too, on real data small enough for CI: ViT-Tiny and some hundred Flickr8k photos."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from conftest import DATA
from converter.recipe import RECIPES
from converter.report import Report, read_report
from edge.bundle import Bundle
from edge.pairs import read_flickr8k
from edge.pairs.flickr8k import CAPTIONS, PHOTOS
from measured import measured

pytestmark = [pytest.mark.convert, pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(900)]
SIZES = {"train": 480, "dev": 100}
CHANGES = {
    "exits: [3, 4, 5, 6, 7, 9]": "exits: [3, 6, 9]",
    "windows: [[1, 3], [4, 5], [6, 7], [8, 9], [10, 12]]": "windows: [[1, 3], [4, 6], [7, 9], [10, 12]]",
    "  epochs: 4\n": "  epochs: 1\n",
    "formats: [dynamic-int8, float16]": "formats: [float16]",  # heads of so few photos do not bear INT8
    "held: 0.25": "held: 0.5",
}


@pytest.fixture(scope="module")
def photos(flickr8k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first photos of two splits in the official layout, without the others."""
    folder = tmp_path_factory.mktemp("flickr8k")
    (folder / PHOTOS).mkdir()
    told = []
    for split, size in SIZES.items():
        pairs = read_flickr8k(flickr8k, split)[:size]  # type: ignore[arg-type] # keys of SIZES are splits
        for pair in pairs:
            (folder / PHOTOS / pair.photo.name).symlink_to(pair.photo)
            told += [f"{pair.photo.name}#{number}\t{caption}" for number, caption in enumerate(pair.captions)]
        names = "\n".join(pair.photo.name for pair in pairs)
        (folder / f"Flickr_8k.{split}Images.txt").write_text(names, encoding="utf-8")
    (folder / CAPTIONS).write_text("\n".join(told), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(photos: Path, tflite_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the build, by the packaged recipe but for what makes it small."""
    checkpoint = DATA / "vit-tiny-patch16-224"
    if not checkpoint.is_dir():
        pytest.skip(f"DATA SKIPPED: no ViT-Tiny at {checkpoint}; set DATA to the folder that holds it")
    folder = tmp_path_factory.mktemp("small")
    recipe = (RECIPES / "vit-tiny-flickr8k.yaml").read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    (folder / "small.yaml").write_text(recipe, encoding="utf-8")
    done = measured(
        folder, "run", folder / "small.yaml", "--checkpoint", checkpoint, "--data", photos,
        "--tflite-python", tflite_python, "--out", folder / "build",
    )  # fmt: skip
    print(f"\nsmall Flickr8k: {done}")  # noqa: T201 - figures for a person
    assert done.code == 0, done.err
    return folder / "build"


@pytest.fixture(scope="module")
def report(built: Path) -> Report:
    return read_report(built)


def test_the_bundle_is_calibrated_has_policies_and_a_small_predictor(built: Path) -> None:
    bundle = Bundle.open(built / "bundle")
    tower = bundle.manifest.tower("image")
    assert bundle.manifest.calibrated
    assert tower.outliers == 4
    assert [place.depth for place in tower.exits] == [3, 6, 9, 12]
    assert tower.policies
    assert {"fixed", "predict", "gate"} <= {setting.policy for setting in tower.policies.settings}
    assert tower.predictor
    for variant in tower.predictor.model.variants:
        assert (bundle.folder / variant.path).stat().st_size <= 1_000_000


def test_every_exit_finds_far_more_than_chance_after_healing(report: Report) -> None:
    assert report.healed
    assert report.data
    for place in report.exits:
        assert place.before
        assert place.raw
        assert place.calibrated
        assert min(place.before.at_10, place.raw.at_10, place.calibrated.at_10) >= 3 * 10 / SIZES["dev"]


def test_the_report_compares_every_policy_and_says_why_the_default_is_it(report: Report) -> None:
    assert {curve.name for curve in report.policies} == {"fixed", "predict", "gate", "random", "oracle"}
    assert report.choice
    assert report.calibration
    assert report.calibration.ece <= 0.05
    assert sum(place.occupancy or 0 for place in report.exits) == pytest.approx(1, abs=1e-3)


def test_heads_keep_their_direction_in_the_files_that_ship(report: Report) -> None:
    assert report.parity
    assert min(line.cosine for line in report.parity) >= 0.99
