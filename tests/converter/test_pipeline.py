"""A whole build of a tiny vision transformer by the command that a user types, and the device on its bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from safetensors.torch import load_file, save_file

from commands import Finished
from converter.report import read_report
from converter.stages import load_arrays
from edge.bundle import RUNTIMES, Bundle
from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.items import Question, Verdict
from shapes_data import SPLITS, write_shapes
from tiny_build import RECIPE, TinyBuild, convert
from tiny_vit import write_vit

pytestmark = pytest.mark.convert

STAGES = ["towers", "heal", "label", "predict", "calibrate", "choose", "export", "verify", "pack", "report"]
QUESTION = "a red square on blue at the top left"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, tflite_python: Path) -> TinyBuild:
    """A checkpoint, 260 pictures and one more that is broken; nothing is built yet."""
    folder = tmp_path_factory.mktemp("tiny")
    for name in ("vit", "data"):
        (folder / name).mkdir()
    write_vit(folder / "vit")
    write_shapes(folder / "data")
    (folder / "data" / "broken.png").write_bytes((folder / "data" / "000.png").read_bytes()[:50])
    with (folder / "data" / "pairs.csv").open("a", encoding="utf-8") as table:
        table.write("broken.png,half of a picture,train\n")
    (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    return TinyBuild(folder / "tiny.yaml", folder / "vit", folder / "data", tflite_python, folder / "out")


@pytest.fixture(scope="module")
def finished(fresh: TinyBuild) -> tuple[TinyBuild, Finished]:
    """The same, built from start to end; tests that change it take a `copy`."""
    done = fresh.run()
    assert done.code == 0, done.err
    return fresh, done


@pytest.fixture
def built(finished: tuple[TinyBuild, Finished]) -> TinyBuild:
    return finished[0]


@pytest.fixture
def copy(built: TinyBuild, tmp_path: Path) -> TinyBuild:
    """The finished build in a folder of the test's own."""
    shutil.copytree(built.out, tmp_path / "out")
    return replace(built, recipe=Path(shutil.copy(built.recipe, tmp_path)), out=tmp_path / "out")


@pytest.fixture
def own(fresh: TinyBuild, tmp_path: Path) -> TinyBuild:
    """The recipe and nothing built, in a folder of the test's own."""
    return replace(fresh, recipe=Path(shutil.copy(fresh.recipe, tmp_path)), out=tmp_path / "out")


def features(build: TinyBuild) -> bytes:
    return (build.out / "stages" / "heal" / "features.npz").read_bytes()


def kept(done: Finished) -> list[str]:
    return [line.partition(":")[0] for line in done.err.splitlines() if line.endswith(": done before, kept")]


def refusal_of(build: TinyBuild) -> str:
    """The last line of a build that is refused, as a mistake of the command."""
    done = build.run()
    assert (done.code, done.out) == (2, "")
    return done.err.splitlines()[-1].removeprefix("reminisce-convert: ")


def test_build_says_each_stage_in_order_and_what_it_made(finished: tuple[TinyBuild, Finished]) -> None:
    build, done = finished
    steps = [line for line in done.err.splitlines() if line.endswith(" ...")]
    assert [line.partition("/")[0] for line in steps] == [str(number) for number in range(1, len(STAGES) + 1)]
    assert done.out.startswith(f"{build.out}/bundle: ")
    assert done.out.endswith(" MB, for evaluation\n")


def test_bundle_has_everything_that_was_learnt(built: TinyBuild) -> None:
    manifest = Bundle.open(built.out / "bundle").manifest
    image = manifest.tower("image")
    assert manifest.calibrated
    assert (manifest.model, manifest.dimension, image.layers) == ("tiny", 16, 4)
    assert [place.depth for place in image.exits] == [1, 2, 4]
    assert all(place.query and place.calibration and place.gate for place in image.exits)
    costs = [place.cost or 0 for place in image.exits]
    assert costs == sorted(costs)
    assert costs[0] > 0
    assert costs[-1] == 1
    assert manifest.bank
    assert (manifest.bank.rows, manifest.bank.width) == (50, 384)
    assert image.predictor
    files = [*(variant.path for variant in image.predictor.model.variants), image.predictor.norm]
    assert sum(manifest.files[str(path)].bytes for path in files) <= 1_000_000
    assert image.policies
    assert {setting.policy for setting in image.policies.settings} == {"fixed", "predict", "gate"}


def test_every_file_was_compared_with_torch_on_every_runtime_that_it_is_for(built: TinyBuild) -> None:
    manifest = Bundle.open(built.out / "bundle").manifest
    models = {name for name in manifest.files if name.endswith(".tflite")}
    assert {name.partition(" ")[0] for name in manifest.build} == models
    assert {name.split()[2] for name in manifest.build} == set(RUNTIMES)
    assert all(cosine >= 0.99 for cosine in manifest.build.values())


def test_device_remembers_pictures_and_answers_with_the_bundle(
    built: TinyBuild, tmp_path: Path, fill: Callable[[Engine, Sequence[Path]], list[Verdict]]
) -> None:
    pictures = [built.data / "000.png", built.data / "001.png"]
    config = Config(bundle=str(built.out / "bundle"), remember=RememberConfig(exit_depth=2))
    with Engine(config, tmp_path) as engine:
        assert [verdict.state for verdict in fill(engine, pictures)] == ["accepted", "accepted"]
        answer = engine.retriever.ask(Question(text=QUESTION, limit=2))
    assert answer.searched == 2
    assert {Path(hit.item.source).name for hit in answer.hits} == {"000.png", "001.png"}


def test_report_reads_back_and_has_the_figures_of_every_part(built: TinyBuild) -> None:
    report = read_report(built.out)
    assert (report.model, report.healed) == ("tiny", True)
    assert [one.depth for one in report.exits] == [1, 2, 4]
    assert all(one.before and one.raw and one.calibrated for one in report.exits)
    assert [(window.first, window.last) for window in report.healing] == [(1, 2), (3, 4)]
    assert {curve.name for curve in report.policies} == {"fixed", "predict", "gate", "random", "oracle"}
    assert sum(one.occupancy or 0 for one in report.exits) == pytest.approx(1, abs=1e-3)
    assert report.calibration
    assert report.data
    assert {count.role: count.queries for count in report.data.counts}["test"] == 2 * SPLITS["test"]
    assert sum(count.items for count in report.data.counts) == sum(SPLITS.values())
    assert "<svg" in (built.out / "report.html").read_text(encoding="utf-8")


def test_broken_picture_is_left_out_told_and_listed(finished: tuple[TinyBuild, Finished]) -> None:
    build, done = finished
    assert "  left out: broken.png: " in done.err
    assert "  1 item left out in all: items.json lists them\n" in done.err
    listed = json.loads((build.out / "stages" / "towers" / "items.json").read_text(encoding="utf-8"))
    assert [name for name, _ in listed["skipped"]] == ["broken.png"]
    assert len(listed["entries"]) == sum(SPLITS.values())
    data = read_report(build.out).data
    assert data
    assert (data.skipped, data.skipped_names) == (1, ("broken.png",))


def test_verify_runs_the_finished_bundle(built: TinyBuild) -> None:
    done = convert("verify", built.out / "bundle", "--tflite-python", built.tflite_python)
    assert done.code == 0, done.err
    assert done.out.endswith(" files agree on ai-edge-litert and tflite-runtime\n")


def test_second_run_keeps_every_stage_and_the_bundle(built: TinyBuild) -> None:
    before = built.bundle_files()
    done = built.run()
    assert (done.code, kept(done)) == (0, STAGES)
    assert built.bundle_files() == before


def test_changed_heads_redo_healing_with_the_reason_and_keep_the_towers(copy: TinyBuild) -> None:
    copy.change("epochs: 8", "epochs: 9")
    said = copy.killed_at("2/10")
    assert said.splitlines()[:2] == [
        "towers: done before, kept",
        "heal: recipe.heads.training.epochs was 8 and is 9",
    ]


def test_tower_that_is_cut_in_other_places_is_not_healed_again(copy: TinyBuild) -> None:
    copy.change("predict: {", "export: {layers_per_segment: 1}\npredict: {")
    said = copy.killed_at("7/10").splitlines()
    assert said[:6] == [f"{stage}: done before, kept" for stage in STAGES[:6]]
    assert said[6] == "export: recipe.export.layers_per_segment was 0 and is 1"


def test_killed_healing_keeps_its_finished_windows_and_ends_as_the_uninterrupted_one(
    built: TinyBuild, copy: TinyBuild
) -> None:
    shutil.rmtree(copy.out / "stages" / "heal")
    copy.killed_when((copy.out / "stages" / ".heal" / "window-01-02.json").is_file)
    done = copy.stage("heal")
    assert done.code == 0, done.err
    assert "  layers 1 to 2: healed before, kept\n" in done.err
    assert features(copy) == features(built)


def test_build_that_is_killed_while_it_packs_leaves_the_earlier_bundle(copy: TinyBuild) -> None:
    copy.change("model: tiny", "model: other")
    copy.killed_when(lambda: any(copy.out.glob(".bundle-*")))
    assert Bundle.open(copy.out / "bundle").manifest.model == "tiny"


@pytest.mark.slow
def test_another_seed_gives_other_features_and_heads(built: TinyBuild, copy: TinyBuild) -> None:
    for name in ("towers", "heal"):
        assert copy.stage(name, "--seed", "1").code == 0
    one, other = (load_arrays(build.out / "stages" / "heal" / "features.npz") for build in (built, copy))
    assert one.keys() == other.keys()
    assert all(not np.allclose(one[depth], other[depth], atol=1e-3) for depth in one)


@pytest.mark.slow
def test_builds_from_equal_inputs_are_equal_but_for_measured_times(built: TinyBuild, own: TinyBuild) -> None:
    assert own.run().code == 0
    one, other = built.bundle_files(), own.bundle_files()
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] in ([], ["manifest.json"])


@pytest.mark.slow
def test_loss_that_runs_away_ends_the_build_and_a_sane_rate_goes_on_from_the_towers(copy: TinyBuild) -> None:
    shutil.rmtree(copy.out / "stages" / "heal")
    copy.change("epochs: 1,", "epochs: 1, rate: 1.0e+30,")
    done = copy.run()
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        "reminisce-convert: healing layers 1 to 2: the loss is nan at step 2 of 2:"
        " lower heal.rate and run again, the stages before are kept"
    )
    copy.change("rate: 1.0e+30", "rate: 1.0e-3")
    assert "towers: done before, kept" in copy.run().err
    assert Bundle.open(copy.out / "bundle").manifest.calibrated


def test_fewer_than_200_usable_items_are_refused(own: TinyBuild, tmp_path: Path) -> None:
    few = write_shapes(tmp_path, counts={"train": 100, "validation": 50, "test": 49})
    assert refusal_of(replace(own, data=few)) == f"{few} has 199 usable items: 200 are needed"


def test_checkpoint_with_missing_keys_is_refused_before_the_sentences(own: TinyBuild, tmp_path: Path) -> None:
    broken = shutil.copytree(own.checkpoint, tmp_path / "vit")
    weights = load_file(broken / "model.safetensors")
    lost = min(name for name in weights if "layer.2" in name)
    del weights[lost]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    told = refusal_of(replace(own, checkpoint=broken))
    assert told.startswith(f"{broken} does not fit ")
    assert ": 1 missing (" in told
    assert told.endswith("): check config.json")


def test_data_without_captions_cannot_teach_paired_heads(own: TinyBuild, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    own.change("kind: pairs", "kind: folder")
    wordless = write_shapes(tmp_path / "data")
    told = "heads.kind is paired, which learns from captions: the data has none"
    assert refusal_of(replace(own, data=wordless)) == told


@pytest.mark.slow
def test_bundle_from_too_few_held_captions_is_not_calibrated_and_serves_one_fixed_exit(
    own: TinyBuild, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    done = replace(own, data=write_shapes(tmp_path / "data", captions=1)).run("--quick")
    assert done.code == 0, done.err
    assert "  fewer than 200 held-out captions: no labels, no calibration, one fixed exit\n" in done.err
    manifest = Bundle.open(own.out / "bundle").manifest
    image = manifest.tower("image")
    assert (manifest.calibrated, manifest.bank, image.predictor, image.policies) == (False, None, None, None)
    assert not any(place.calibration or place.gate for place in image.exits)
    report = read_report(own.out)
    assert (report.healed, report.calibration, report.policies, report.choice) == (False, None, (), None)
    assert all(one.raw for one in report.exits)
