"""What `verify` compares: every file on both runtimes with torch, and an exit that drifts is refused by its name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter import layout, parity
from converter.export import export
from converter.verify import BATCHES, Call, DriftError, verify
from edge.bundle import RUNTIMES, Bundle
from edge.items import Floats
from edge.runtime import TextInput
from learnt_small import EXITS, Small, pixels

pytestmark = pytest.mark.convert
COSINE = 0.99
Job = tuple[list[Call], Mapping[str, Floats]]


@pytest.fixture(scope="module")
def job(small: Small, small_bundle: Bundle) -> Job:
    """All calls, and the values that they start from."""
    return calls_of(small, small_bundle, COSINE)


@torch.no_grad()
def calls_of(small: Small, bundle: Bundle, cosine: float) -> Job:
    image, text = bundle.manifest.tower("image"), bundle.manifest.tower("text")
    sentences = ["a dog", "the red house", "water", "the dog runs on water", "a a a", "house", "red dog", "with a dog"]
    words = TextInput(bundle.folder, layout.words_of(text)).inputs(sentences)
    features = small.query.segment(torch.from_numpy(words["x"]), torch.from_numpy(words["mask"])).numpy()
    inputs = {
        "pixels": pixels(8),
        "words": words["x"],
        "mask": words["mask"],
        **parity.inputs_of(small.learnt, features),
    }
    calls = parity.query_calls(small.query, text, words)
    return calls + parity.item_calls(small.item, image, small.learnt, inputs, cosine), inputs


def refusal(folder: Path, job: Job, runtimes: Mapping[str, Path]) -> str:
    with pytest.raises(DriftError) as caught:
        verify(folder, *job, runtimes, lambda _parity: None)
    return str(caught.value)


@pytest.fixture
def copied(small_bundle: Bundle, tmp_path: Path) -> Path:
    """The files where they may be changed."""
    return Path(shutil.copytree(small_bundle.folder, tmp_path / "bundle"))


def test_every_file_on_every_runtime_that_it_is_for_computes_what_torch_computes(
    job: Job, small_bundle: Bundle, runtimes: dict[str, Path]
) -> None:
    found = verify(small_bundle.folder, *job, runtimes, lambda _parity: None)
    models = {path for path in small_bundle.manifest.files if path.endswith(".tflite")}
    wanted = {
        (path, runtime)
        for path in models
        for runtime in RUNTIMES
        if not ("dynamic-int8" in path and runtime == "tflite-runtime")
    }
    assert {(one.path, one.runtime) for one in found} == wanted
    assert {one.batch for one in found} == set(BATCHES)


def test_segments_are_chained_within_their_format_and_heads_stand_behind_each(job: Job) -> None:
    calls = {call.writes: call for call in job[0]}
    heads = [call for call in calls.values() if call.path == "image/head-02.weight-int8.tflite"]
    assert len(heads) == 2
    for head, kind, runtimes in zip(heads, ("dynamic-int8", "float16"), (RUNTIMES[:1], RUNTIMES), strict=True):
        value, chain = head.reads["x"], []
        while value != "pixels":
            chain.append(calls[value].path)
            value = calls[value].reads["x"]
        assert chain == [f"image/seg-{number:02}.{kind}.tflite" for number in (3, 2, 1, 0)]
        assert head.runtimes == runtimes


def test_each_call_is_compared_with_what_torch_makes_of_the_first_inputs(job: Job, small: Small) -> None:
    x = torch.from_numpy(job[1]["pixels"])
    for depth, number in zip(EXITS, range(3), strict=True):
        with torch.no_grad():
            wanted = small.learnt.items[depth](small.item.segment(0, depth)(x)).numpy()
        for call in job[0]:
            if call.path == f"image/head-{number:02}.weight-int8.tflite":
                np.testing.assert_allclose(call.reference, wanted, atol=1e-5)


def test_query_head_that_exits_share_is_compared_once(job: Job) -> None:
    assert sorted(call.path for call in job[0] if call.path.startswith("text/head")) == [
        "text/head-00.weight-int8.tflite",
        "text/head-01.weight-int8.tflite",
    ]


def test_drifting_exit_is_refused_with_depth_file_bound_and_remedy(
    job: Job, copied: Path, small: Small, runtimes: dict[str, Path]
) -> None:
    wrong = small.learnt.items[2]
    export(wrong, {"x": torch.zeros(2, 17, 32)}, {"weight-int8": copied / "image" / "head-01.weight-int8.tflite"})
    start, _, rest = refusal(copied, job, runtimes).partition(": cosine with torch is ")
    assert start == (
        "image/head-01.weight-int8.tflite (the exit at depth 3 behind dynamic-int8 segments) on ai-edge-litert, batch 1"
    )
    assert rest.partition(", ")[2] == (
        "weight-int8 must reach 0.99: nothing was packed, put another format in place of dynamic-int8 in item.formats"
    )


def test_recipes_cosine_holds_for_every_exit(small: Small, small_bundle: Bundle, runtimes: dict[str, Path]) -> None:
    job = calls_of(small, small_bundle, 1.0)
    told = refusal(small_bundle.folder, job, runtimes)
    assert told.startswith("image/head-00.weight-int8.tflite (the exit at depth 2 behind dynamic-int8 segments) on ")
    assert "verify.cosine must reach 1.0: nothing was packed" in told
    assert {call.least for call in job[0] if "image/head" in call.path} == {1.0}
    assert {call.least for call in job[0] if "image/head" not in call.path} == {0.0}


def test_drifting_layers_are_refused_with_the_depth_that_they_lead_to(
    job: Job, copied: Path, small: Small, runtimes: dict[str, Path]
) -> None:
    export(
        small.item.segment(0, 1), {"x": torch.zeros(2, 32, 32, 3)}, {"float16": copied / "image/seg-00.float16.tflite"}
    )
    export(small.item.segment(3, 4), {"x": torch.zeros(2, 17, 32)}, {"float16": copied / "image/seg-02.float16.tflite"})
    told = refusal(copied, job, {"tflite-runtime": runtimes["tflite-runtime"]})
    assert told.startswith("image/seg-02.float16.tflite (layers up to 3) on tflite-runtime, batch 1: cosine with")
    assert told.endswith(
        "float16 must reach 0.999: nothing was packed, put another format in place of float16 in item.formats"
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("text/head-01.weight-int8.tflite", "(the question's head of the exit at depth 4) on ai-edge-litert"),
        ("image/gate-00.float32.tflite", "on ai-edge-litert"),
        ("image/gate-02.float32.tflite", "on ai-edge-litert"),  # its one logit an item has no direction
        ("image/predictor.full-int8.tflite", "on ai-edge-litert"),
    ],
)
def test_small_net_that_drifts_is_refused_by_its_file(
    job: Job, small_bundle: Bundle, runtimes: dict[str, Path], path: str, said: str
) -> None:
    calls = [
        replace(call, reference=np.roll(call.reference, 1, axis=0)) if call.path == path else call for call in job[0]
    ]
    assert refusal(small_bundle.folder, (calls, job[1]), runtimes).startswith(f"{path} {said}, batch 1: cosine with")


def test_inputs_of_gates_are_spread_as_those_that_they_learnt_from(small: Small) -> None:
    values = parity.inputs_of(small.learnt, np.zeros((500, 32), np.float32))
    for depth, gate in small.learnt.gates.items():
        x, mean, scale = values[f"gate-{depth}"], gate.get_buffer("mean").numpy(), gate.get_buffer("scale").numpy()
        assert x.dtype == np.float32
        np.testing.assert_allclose((x - mean).mean(0) / scale, 0, atol=0.2)
        np.testing.assert_allclose(x.std(0) / scale, 1, atol=0.15)


def test_build_without_nets_has_no_calls_of_them(small: Small, small_bundle: Bundle, job: Job) -> None:
    bare = replace(small.learnt, bank=None, calibrations={}, predictor=None, gates={}, policies=None)
    spec = layout.item_spec(small.recipe, small.item, bare)
    with torch.no_grad():
        calls = parity.item_calls(small.item, spec, bare, job[1], COSINE)
    assert {call.path for call in calls} == {
        path for path in small_bundle.manifest.files if "seg" in path or "head" in path
    } - {variant for variant in small_bundle.manifest.files if variant.startswith("text/seg")}
    assert parity.inputs_of(bare, job[1]["features"]).keys() == {"features"}
