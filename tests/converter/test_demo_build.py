"""A small build of the demo's towers as a user runs it: a real process, both runtimes, the device on the bundle."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from edge.bundle import MANIFEST, RUNTIMES, Bundle
from edge.config import Config
from edge.demo import DEMO_PICTURES
from edge.engine import Engine
from edge.items import Question, Verdict
from shapes_data import shapes

pytestmark = [pytest.mark.convert, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 12  # shipped pictures that the device remembers
STEP = re.compile(r"\d+/\d+ ")
# Remembers pictures and asks one question, in whatever Python runs it.
ASK = """\
import hashlib, json, sys
from pathlib import Path
from edge.config import Config, RuntimeConfig
from edge.engine import Engine, Hooks
from edge.items import Arrival, Question
bundle, state, runtime, question, *pictures = sys.argv[1:]
def arrival(path):
    content = Path(path).read_bytes()
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="image", source=path, taken_at=None)
outcomes, config = [], Config(bundle=bundle, runtime=RuntimeConfig(backend=runtime))
with Engine(config, Path(state), Hooks(on_outcome=outcomes.append)) as engine:
    engine.memory.accept([arrival(path) for path in pictures])
    while engine.intake.remember_group():
        pass
    answer = engine.retriever.ask(Question(text=question, limit=5))
hits = [(Path(hit.item.source).name, hit.depth, hit.score) for hit in answer.hits]
print(json.dumps([[outcome.state for outcome in outcomes], hits]))
"""


@dataclass(frozen=True)
class Build:
    """A finished command and the folder that it was given."""

    done: subprocess.CompletedProcess[str]
    out: Path

    @property
    def bundle(self) -> Bundle:
        assert self.done.returncode == 0, self.done.stderr
        return Bundle.open(self.out / "bundle")

    @property
    def steps(self) -> list[str]:
        lines = self.done.stderr.splitlines()
        return [line for line in lines if STEP.match(line) and not line.endswith(" left")]  # signs of life


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "converter.cli", "run", *map(str, arguments)]


def convert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """280 tiny pictures in Flickr8k's official layout."""
    folder = tmp_path_factory.mktemp("flickr8k")
    (folder / "Flicker8k_Dataset").mkdir()
    texts = shapes(folder / "Flicker8k_Dataset", 280)
    lines = [f"{name}#{number}\t{text}" for name, told in texts.items() for number, text in enumerate(told)]
    names = [*texts, "lost.jpg"]
    for file, told in (("token", lines), ("trainImages", names[40:]), ("devImages", names[:40])):
        name = f"Flickr8k.{file}.txt" if file == "token" else f"Flickr_8k.{file}.txt"
        (folder / name).write_text("\n".join(told), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory, small_recipe_text: str) -> dict[str, Path]:
    """The small recipe for captioned photos and for the shipped pictures alone."""
    folder = tmp_path_factory.mktemp("recipes")
    flickr8k = small_recipe_text.replace("kind: demo, purpose: any", "kind: flickr8k, held: 0.5")
    for name, text in (("captioned", flickr8k), ("open", small_recipe_text)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.yaml" for name in ("captioned", "open")}


@pytest.fixture(scope="module")
def captions(recipes: dict[str, Path], photos: Path, tflite_python: Path) -> tuple[str | Path, ...]:
    """A build from photos with captions, but for where it goes."""
    return recipes["captioned"], "--data", photos, "--tflite-python", tflite_python


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory, captions: tuple[str | Path, ...]) -> Build:
    """Built from photos with captions."""
    out = tmp_path_factory.mktemp("captioned") / "build"
    return Build(convert(*captions, "--out", out), out)


@pytest.fixture(scope="module")
def open_pictures(tmp_path_factory: pytest.TempPathFactory, recipes: dict[str, Path], tflite_python: Path) -> Build:
    """Built from the shipped pictures alone."""
    out = tmp_path_factory.mktemp("open") / "build"
    return Build(convert(recipes["open"], "--tflite-python", tflite_python, "--out", out), out)


def contents(build: Build) -> dict[str, bytes]:
    """Of every file but the manifest: it has milliseconds that were measured."""
    folder = build.bundle.folder
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != MANIFEST}


def ask(python: Path, bundle: Path, state: Path, runtime: str, question: str) -> tuple[list[str], list[Any]]:
    pictures = [str(path) for path in sorted(DEMO_PICTURES.glob("*.jpg"))[:SHOWN]]
    made = subprocess.run(
        [str(python), "-c", ASK, str(bundle), str(state), runtime, question, *pictures],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    kept, hits = json.loads(made.stdout)
    return kept, hits


def test_build_says_what_it_does_in_counted_steps_and_what_it_made(captioned: Build) -> None:
    bundle, steps = captioned.bundle, captioned.steps
    assert [line.partition("/")[0] for line in steps[::2]] == [str(1 + number) for number in range(len(steps) // 2)]
    assert [line.endswith(" ...") for line in steps] == [True, False] * (len(steps) // 2)
    assert captioned.done.stdout.startswith(f"{bundle.folder}: {len(bundle.manifest.files)} files, ")
    assert captioned.done.stdout.endswith(" MB, for evaluation\n")


def test_every_file_is_verified_on_every_runtime_that_it_is_for(captioned: Build) -> None:
    lines = [line.split() for line in captioned.done.stderr.splitlines() if " cosine " in line]
    verified = {(path, runtime.rstrip(","), int(batch)) for path, runtime, _, batch, *_ in lines}
    names = {name for name in captioned.bundle.manifest.files if name.endswith(".tflite")}
    litert_only = {name for name in names if ".dynamic-int8." in name}
    expected = {
        (name, runtime, batch)
        for name in names
        for runtime in (RUNTIMES if name not in litert_only else ("ai-edge-litert",))
        for batch in (1, 8)
    }
    assert verified == expected
    assert {runtime for _, runtime, _ in verified} == set(RUNTIMES)


def test_manifest_keeps_the_cosine_of_every_file_on_every_runtime_at_every_batch(captioned: Build) -> None:
    build = captioned.bundle.manifest.build
    lines = [line.split() for line in captioned.done.stderr.splitlines() if " cosine " in line]
    names = {f"{path} on {runtime.rstrip(',')} at batch {batch}: cosine" for path, runtime, _, batch, *_ in lines}
    assert build.keys() == names
    assert all(0.99 <= cosine <= 1 for cosine in build.values())


def test_bundle_learnt_from_flickr8k_is_for_evaluation_and_the_open_one_for_anything(
    captioned: Build, open_pictures: Build
) -> None:
    learnt, free = captioned.bundle.manifest, open_pictures.bundle.manifest
    assert (learnt.purpose, free.purpose) == ("for evaluation", "any")
    assert " train photos of Flickr8k and their captions" in learnt.attribution[-1]
    assert free.attribution[-1] == "Heads learnt from the pictures of edge/demo/pictures, see CREDITS.md there"
    assert learnt.attribution[:-1] == free.attribution[:-1]
    assert [text.partition(":")[0] for text in free.attribution[:2]] == [
        "EfficientNet-Lite0, ImageNet weights",
        "all-MiniLM-L6-v2",
    ]


def test_heads_differ_with_what_they_learnt_from_and_trunks_do_not(captioned: Build, open_pictures: Build) -> None:
    learnt, free = captioned.bundle.manifest.files, open_pictures.bundle.manifest.files
    assert learnt.keys() > free.keys()
    differing = {name for name in free if learnt[name] != free[name]}
    assert differing == {name for name in free if "/head-" in name}


def test_captions_give_a_bank_a_predictor_gates_and_probabilities_and_pictures_alone_do_not(
    captioned: Build, open_pictures: Build
) -> None:
    learnt, free = captioned.bundle.manifest, open_pictures.bundle.manifest
    assert (learnt.calibrated, free.calibrated) == (True, False)
    notes = [one.tower("text").exits[-1].calibration for one in (learnt, free)]
    assert [one is not None for one in notes] == [True, False]
    assert learnt.takes_notes
    assert free.takes_notes  # by the cosine, like its pictures
    more = learnt.files.keys() - free.files.keys()
    assert {name.rpartition("/")[2].partition("-")[0].partition(".")[0] for name in more} == {
        "bank",
        "gate",
        "predictor",
    }


def test_two_builds_from_the_same_photos_are_equal_byte_for_byte(
    captioned: Build, captions: tuple[str | Path, ...], tmp_path: Path
) -> None:
    again = Build(convert(*captions, "--out", tmp_path / "again"), tmp_path / "again")
    assert contents(again) == contents(captioned)


def test_second_run_in_the_same_folder_keeps_every_stage(captioned: Build, captions: tuple[str | Path, ...]) -> None:
    before = captioned.bundle.fingerprint
    again = Build(convert(*captions, "--out", captioned.out), captioned.out)
    assert again.bundle.fingerprint == before
    assert again.steps == []
    assert len(again.done.stderr.splitlines()) == again.done.stderr.count(": done before, kept\n")


@pytest.mark.parametrize("kind", ["captioned", "open_pictures"])
def test_device_remembers_and_answers_with_the_bundle_alike_on_both_runtimes(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, runtimes: dict[str, Path]
) -> None:
    bundle = request.getfixturevalue(kind).bundle
    names = []
    scores = []
    for runtime, python in runtimes.items():
        kept, hits = ask(python, bundle.folder, tmp_path / runtime, runtime, "a golden retriever")
        assert kept == ["indexed"] * SHOWN
        assert hits[0][1] == 16
        names.append(hits[0][0])
        scores.append(hits[0][2])
    assert names[0] == names[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


def test_what_was_remembered_with_one_bundle_is_found_when_the_other_serves(
    captioned: Build, open_pictures: Build, tmp_path: Path, fill: Callable[[Engine, list[Path]], list[Verdict]]
) -> None:
    photo, question = DEMO_PICTURES / "pancakes.jpg", Question(text="breakfast", limit=5)
    for build, state, before in ((captioned, "accepted", 0), (open_pictures, "duplicate", 1)):
        with Engine(Config(bundle=str(build.bundle.folder)), tmp_path) as engine:
            assert engine.retriever.ask(question).searched == before
            assert [verdict.state for verdict in fill(engine, [photo])] == [state]
            assert engine.retriever.ask(question).searched == 1


def test_interrupted_build_goes_on_where_it_was_and_ends_as_the_uninterrupted_one(
    captioned: Build, captions: tuple[str | Path, ...], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command(*captions, "--out", tmp_path / "build"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    with process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("2/"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to the children, too
        stdout, stderr = process.communicate(timeout=60)
    # CPython ends by the signal itself where it came within a nested `exec`; a shell says 130 of both.
    assert process.returncode in (130, -signal.SIGINT), stderr
    assert stderr.splitlines()[-1].startswith("reminisce-convert: interrupted; towers")
    assert "Traceback" not in stderr
    assert stdout == ""
    again = Build(convert(*captions, "--out", tmp_path / "build"), tmp_path / "build")
    assert again.done.stderr.count(": done before, kept\n") == 1
    assert contents(again) == contents(captioned)


def test_photos_in_another_layout_are_refused_with_exit_code_2(
    tmp_path: Path, recipes: dict[str, Path], tflite_python: Path
) -> None:
    arguments = (recipes["captioned"], "--data", DEMO_PICTURES, "--tflite-python", tflite_python)
    done = convert(*arguments, "--out", tmp_path / "build")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"reminisce-convert: {DEMO_PICTURES}/Flickr8k.token.txt cannot be read (No such file or directory):"
        " give the folder of Flickr8k in its official layout"
    )


def test_python_without_tflite_runtime_ends_the_build_with_exit_code_1_and_the_right_one_goes_on(
    tmp_path: Path, captioned: Build, captions: tuple[str | Path, ...]
) -> None:
    done = convert(*captions[:-1], sys.executable, "--out", tmp_path / "build")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "reminisce-convert: tflite-runtime cannot run the exported files (exit code 1):"
        " ModuleNotFoundError: No module named 'tflite_runtime'"
    )
    again = Build(convert(*captions, "--out", tmp_path / "build"), tmp_path / "build")
    assert again.done.stderr.splitlines()[0].endswith(": done before, kept")
    assert contents(again) == contents(captioned)
