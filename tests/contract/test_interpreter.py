"""What every TFLite runtime must do with the files of the shipped bundle; those not installed are skipped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unittest.mock import Mock

import numpy as np
import pytest

from edge.bundle import RUNTIMES, Bundle, Model, Variant
from edge.config import Backend
from edge.errors import RuntimeMissingError
from edge.items import Floats
from edge.runtime import Interpreter, choose_runtime, choose_variant, installed_runtimes, open_interpreter

MODULES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


@dataclass(frozen=True, slots=True)
class File:
    """One model of the bundle as the runtime at hand runs it; shapes are those of one item."""

    path: Path
    inputs: dict[str, tuple[int, ...]]
    output: tuple[int, ...]

    def values(self, batch: int, seed: int = 0) -> dict[str, Floats]:
        """Random inputs of the right shapes; a mask lets half of the tokens through."""
        random = np.random.default_rng(seed)
        made = {name: random.standard_normal((batch, *shape), np.float32) for name, shape in self.inputs.items()}
        if "mask" in made:
            made["mask"][:] = np.arange(made["mask"].shape[1]) < made["mask"].shape[1] // 2
        return made


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    """The name of an installed runtime."""
    name = str(request.param)
    if name not in installed_runtimes():
        pytest.skip(f"{name} is not installed in this Python")
    return name


def files(bundle: Bundle, runtime: str) -> Iterator[File]:
    """Every segment and every head, in the variant that the runtime takes."""
    for tower in bundle.manifest.towers:
        for segment in tower.segments:
            shapes = {"x": segment.input} | dict.fromkeys(segment.extra, segment.input[:1])
            yield File(bundle.path(choose_variant(segment.model, runtime).path), shapes, segment.output)
        for place in tower.exits:
            path = bundle.path(choose_variant(place.head, runtime).path)
            yield File(path, {"x": tower.segments[place.segment].output}, (bundle.manifest.dimension,))


@pytest.fixture(params=("image/seg-02", "image/head-01", "text/seg-00", "text/head-00"))
def file(request: pytest.FixtureRequest, bundle: Bundle, runtime: str) -> File:
    """One file of each kind."""
    stem = bundle.folder / str(request.param)
    (found,) = (file for file in files(bundle, runtime) if str(file.path).startswith(f"{stem}."))
    return found


@pytest.fixture
def interpreter(file: File, runtime: str) -> Interpreter:
    """The file, loaded."""
    return open_interpreter(file.path, runtime, 1)


def row(inputs: dict[str, Floats], number: int) -> dict[str, Floats]:
    return {name: value[number : number + 1] for name, value in inputs.items()}


def test_every_file_gives_in_a_batch_of_8_the_rows_of_batches_of_1(bundle: Bundle, runtime: str) -> None:
    for file in files(bundle, runtime):
        loaded, inputs = open_interpreter(file.path, runtime, 1), file.values(8)
        together = loaded.run(inputs)
        alone = np.concatenate([loaded.run(row(inputs, number)) for number in range(8)])
        assert together.shape == (8, *file.output), file.path.name
        assert together.dtype == np.float32, file.path.name
        assert np.isfinite(together).all(), file.path.name
        np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4, err_msg=file.path.name)


def test_two_threads_give_what_one_gives(file: File, interpreter: Interpreter, runtime: str) -> None:
    inputs = file.values(2)
    threaded = open_interpreter(file.path, runtime, 2)
    np.testing.assert_allclose(threaded.run(inputs), interpreter.run(inputs), atol=1e-4, rtol=1e-4)


def test_interpreter_says_which_runtime_it_is(interpreter: Interpreter, runtime: str) -> None:
    assert interpreter.runtime == runtime


def test_batch_may_change_from_call_to_call_and_back(file: File, interpreter: Interpreter) -> None:
    first = interpreter.run(file.values(3))
    assert len(interpreter.run(file.values(8))) == 8
    assert len(interpreter.run(file.values(1))) == 1
    np.testing.assert_array_equal(interpreter.run(file.values(3)), first)


def test_inputs_are_matched_by_name_and_not_by_order(file: File, interpreter: Interpreter) -> None:
    inputs = file.values(2)
    turned = dict(reversed(inputs.items()))
    np.testing.assert_array_equal(interpreter.run(turned), interpreter.run(inputs))


def test_result_stays_as_it_was_when_the_next_one_is_computed(file: File, interpreter: Interpreter) -> None:
    first = interpreter.run(file.values(2))
    kept = first.copy()
    second = interpreter.run(file.values(2, seed=1))
    assert not np.array_equal(second, first)
    np.testing.assert_array_equal(first, kept)


def test_inputs_stay_as_they_were(file: File, interpreter: Interpreter) -> None:
    inputs = file.values(2)
    interpreter.run(inputs)
    for name, value in file.values(2).items():
        np.testing.assert_array_equal(inputs[name], value)


def test_last_axis_of_a_wrong_length_is_an_error(file: File, interpreter: Interpreter) -> None:
    inputs = file.values(1)
    wrong = np.zeros((*inputs["x"].shape[:-1], inputs["x"].shape[-1] + 1), np.float32)
    with pytest.raises(RuntimeError):
        interpreter.run({**inputs, "x": wrong})
    assert interpreter.run(inputs).shape[0] == 1  # and it goes on


def test_planning_ahead_changes_no_result_and_the_run_need_not_keep_to_it(
    file: File, runtime: str, interpreter: Interpreter
) -> None:
    planned = open_interpreter(file.path, runtime, 1)
    for batch in (3, 1):
        planned.plan(3)
        np.testing.assert_array_equal(planned.run(file.values(batch)), interpreter.run(file.values(batch)))


def test_run_of_what_is_planned_plans_nothing_itself(file: File, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = open_interpreter(file.path, runtime, 1)
    native = vars(planned)["_native"]
    planned.plan(2)
    allocate = Mock(side_effect=native.allocate_tensors)
    monkeypatch.setattr(native, "allocate_tensors", allocate)
    planned.run(file.values(2))
    assert not allocate.called
    planned.run(file.values(1))
    assert allocate.call_count == 1


def test_interpreter_counts_the_seconds_that_it_computes(file: File, interpreter: Interpreter) -> None:
    assert interpreter.invoke_s == 0
    began = time.perf_counter()
    interpreter.run(file.values(8))
    first = interpreter.invoke_s
    interpreter.run(file.values(8))
    assert 0 < first < interpreter.invoke_s < time.perf_counter() - began


def test_file_that_is_no_model_is_refused(runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model, but long enough to be looked at" * 10)
    with pytest.raises((ValueError, RuntimeError)):
        open_interpreter(path, runtime, 1)


@pytest.mark.parametrize(("name", "kind"), [("ai-edge-litert", "dynamic-int8"), ("tflite-runtime", "weight-int8")])
def test_variant_is_the_fastest_that_is_right_on_the_runtime(bundle: Bundle, name: str, kind: str) -> None:
    (segment,) = bundle.manifest.tower("text").segments
    assert choose_variant(segment.model, name).format == kind


def test_model_without_a_variant_for_the_runtime_says_what_to_install() -> None:
    variant = Variant(path=PurePosixPath("text/seg-00.tflite"), format="dynamic-int8", runtimes=("ai-edge-litert",))
    message = r"text/seg-00\.tflite is not right on tflite-runtime: install ai-edge-litert$"
    with pytest.raises(RuntimeMissingError, match=message):
        choose_variant(Model(variants=(variant,)), "tflite-runtime")


def hide(monkeypatch: pytest.MonkeyPatch, *runtimes: str) -> None:
    """Let imports find none of these runtimes."""
    for name in runtimes:
        monkeypatch.setitem(sys.modules, MODULES[name], None)


def test_auto_takes_the_runtime_that_is_installed(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, *(name for name in RUNTIMES if name != runtime))
    assert choose_runtime("auto") == runtime


@pytest.mark.parametrize(
    ("backend", "wanted"),
    [("auto", "ai-edge-litert"), ("ai-edge-litert", "ai-edge-litert"), ("tflite-runtime", "tflite-runtime")],
)
def test_without_a_runtime_the_error_says_which_one_to_install(
    backend: Backend, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, *RUNTIMES)
    with pytest.raises(
        RuntimeMissingError, match=rf"no TFLite runtime '{wanted}' is installed: run `pip install {wanted}`"
    ):
        choose_runtime(backend)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_runtime_asked_for_is_not_replaced_by_another(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, backend)
    with pytest.raises(RuntimeMissingError, match=f"pip install {backend}"):
        choose_runtime(backend)
