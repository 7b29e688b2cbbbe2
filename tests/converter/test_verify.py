"""Drift is refused: real files on both runtimes, in processes of their own, compared with torch."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.export import export
from converter.heads.forms import ExitHead
from converter.verify import Call, DriftError, Parity, compare, verify
from edge.bundle import RUNTIMES
from edge.errors import ReminisceError
from edge.items import Floats

pytestmark = pytest.mark.convert

HEAD = "image/head-00.weight-int8.tflite"


class Stack(nn.Module):
    """Fully connected layers as wide as MiniLM's."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(384, 1536), nn.Linear(1536, 384)
        self.wide.weight.data, self.narrow.weight.data = noise(1536, 384, seed=5) / 20, noise(384, 1536, seed=6) / 40
        # Rows of very different size are what a scale for each of them is for.
        self.wide.weight.data *= torch.logspace(-1, 1, 1536)[:, None]
        self.narrow.weight.data *= torch.logspace(-1, 1, 384)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(nn.functional.gelu(self.wide(x)))
        return y


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_torch(module: nn.Module, x: Floats) -> Floats:
    with torch.no_grad():
        made: Floats = module(torch.from_numpy(x)).numpy()
    return made


@pytest.fixture(scope="module")
def x() -> Floats:
    """Eleven items: at batch 8 the last batch is a short one."""
    made: Floats = noise(11, 7, 7, 16).numpy()
    return made


@pytest.fixture(scope="module")
def head() -> ExitHead:
    made = ExitHead(noise(112, seed=1), noise(112, seed=2).abs() + 0.5)
    made.linear.weight.data = 0.1 * noise(384, 112, seed=3)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, head: ExitHead) -> Path:
    """A real exported head where a bundle has it."""
    folder = tmp_path_factory.mktemp("bundle")
    export(head, {"x": torch.zeros(2, 7, 7, 16)}, {"weight-int8": folder / HEAD})
    return folder


@pytest.fixture
def call(head: ExitHead, x: Floats) -> Call:
    return Call(
        path=HEAD,
        format="weight-int8",
        runtimes=RUNTIMES,
        reads={"x": "features"},
        writes="embedding",
        reference=by_torch(head, x),
    )


@pytest.fixture
def litert() -> dict[str, Path]:
    return {"ai-edge-litert": Path(sys.executable)}


def refusal_of(folder: Path, calls: list[Call], inputs: dict[str, Floats], pythons: dict[str, Path]) -> DriftError:
    with pytest.raises(DriftError) as caught:
        verify(folder, calls, inputs, pythons, lambda _parity: None)
    return caught.value


def test_right_file_passes_on_both_runtimes_at_both_batches(
    folder: Path, call: Call, x: Floats, runtimes: dict[str, Path]
) -> None:
    reports: list[Parity] = []
    assert verify(folder, [call], {"features": x}, runtimes, reports.append) == reports
    assert [(report.path, report.runtime, report.batch) for report in reports] == [
        (HEAD, runtime, batch) for runtime in RUNTIMES for batch in (1, 8)
    ]
    assert all(0.99 < report.cosine < 1 for report in reports)
    assert all(0 < report.difference < 0.01 for report in reports)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_wrong_reference_is_refused_with_file_runtime_batch_cosine_and_bound(
    folder: Path, call: Call, x: Floats, runtimes: dict[str, Path], runtime: str
) -> None:
    wrong = replace(call, reference=call.reference[::-1])
    error = refusal_of(folder, [wrong], {"features": x}, {runtime: runtimes[runtime]})
    cosine = min(float(row @ other) for row, other in zip(call.reference, wrong.reference, strict=True))
    start, _, rest = str(error).partition("cosine with torch is ")
    measured, _, bound = rest.partition(", ")
    assert start == f"{HEAD} on {runtime}, batch 1: "
    assert float(measured) == pytest.approx(cosine, abs=0.01)
    assert bound == "weight-int8 must reach 0.99: nothing was packed"
    assert isinstance(error, ReminisceError)
    assert error.exit_code == 1


def test_one_wrong_item_among_right_ones_is_refused(
    folder: Path, call: Call, x: Floats, litert: dict[str, Path]
) -> None:
    reference = call.reference.copy()
    reference[10] = reference[9]
    error = refusal_of(folder, [replace(call, reference=reference)], {"features": x}, litert)
    assert "batch 1: cosine with torch is 0." in str(error)


def test_bound_is_the_one_of_the_format(folder: Path, call: Call, x: Floats, litert: dict[str, Path]) -> None:
    tilted: Floats = call.reference + (0.004 * noise(11, 384, seed=7)).numpy()
    verify(folder, [replace(call, reference=tilted)], {"features": x}, litert, lambda _parity: None)
    error = refusal_of(folder, [replace(call, reference=tilted, format="float16")], {"features": x}, litert)
    assert str(error).endswith("float16 must reach 0.999: nothing was packed")


def test_output_that_is_not_a_number_does_not_pass(
    folder: Path, call: Call, x: Floats, litert: dict[str, Path]
) -> None:
    spoilt = x.copy()
    spoilt[3, 0, 0, 0] = np.nan
    error = refusal_of(folder, [call], {"features": spoilt}, litert)
    assert f"{HEAD} on ai-edge-litert, batch 1: cosine with torch is -1.00000" in str(error)


def test_nan_in_any_item_makes_the_whole_comparison_fail(call: Call) -> None:
    output = call.reference.copy()
    assert compare(call, output, "ai-edge-litert", 8).cosine == pytest.approx(1)
    output[5, 100] = np.nan
    assert compare(call, output, "ai-edge-litert", 8).cosine == -1


def test_output_of_zeros_does_not_pass(call: Call) -> None:
    assert compare(call, np.zeros_like(call.reference), "ai-edge-litert", 1).cosine == 0


def test_activation_is_compared_by_its_mean_over_positions_as_heads_read_it(call: Call) -> None:
    reference = noise(4, 7, 7, 16).numpy()
    activation = replace(call, reference=reference)
    turned = reference[:, ::-1, ::-1]
    assert compare(activation, turned, "ai-edge-litert", 1).cosine == pytest.approx(1)
    assert compare(activation, turned, "ai-edge-litert", 1).difference > 1  # which the report shows all the same
    assert compare(activation, -reference, "ai-edge-litert", 1).cosine == pytest.approx(-1)


def test_file_is_fed_what_the_file_before_it_gave_on_the_same_runtime(tmp_path: Path, litert: dict[str, Path]) -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    export(Double(), {"x": torch.zeros(2, 6)}, {"float32": tmp_path / "double.tflite"})
    x = noise(9, 6).numpy()
    chain = [
        Call(
            path="double.tflite",
            format="float32",
            runtimes=RUNTIMES,
            reads={"x": value},
            writes=writes,
            reference=x * times,
        )
        for value, writes, times in (("start", "two", 2), ("two", "four", 4), ("two", "four again", 4))
    ]
    reports: list[Parity] = []
    verify(tmp_path, chain, {"start": x}, litert, reports.append)
    assert [report.difference for report in reports] == [0] * 6


def test_file_is_not_run_on_a_runtime_that_it_is_not_for(
    folder: Path, call: Call, x: Floats, runtimes: dict[str, Path]
) -> None:
    reports: list[Parity] = []
    verify(folder, [replace(call, runtimes=("tflite-runtime",))], {"features": x}, runtimes, reports.append)
    assert {report.runtime for report in reports} == {"tflite-runtime"}


def test_per_channel_dynamic_int8_is_right_on_litert_and_measured_wrong_on_tflite_runtime(
    tmp_path: Path, runtimes: dict[str, Path]
) -> None:
    export(Stack(), {"x": torch.zeros(2, 384)}, {"dynamic-int8": tmp_path / "stack.tflite"})
    x = noise(8, 384).numpy()
    call = Call(
        path="stack.tflite",
        format="dynamic-int8",
        runtimes=RUNTIMES,
        reads={"x": "x"},
        writes="y",
        reference=by_torch(Stack(), x),
    )
    litert, tflite = ({runtime: runtimes[runtime]} for runtime in RUNTIMES)
    verify(tmp_path, [call], {"x": x}, litert, lambda _parity: None)
    error = refusal_of(tmp_path, [call], {"x": x}, tflite)
    _, _, rest = str(error).partition("stack.tflite on tflite-runtime, batch 1: cosine with torch is ")
    assert float(rest.partition(",")[0]) < 0.5  # no matter of rounding: nothing of the direction is left


def test_runtime_whose_process_fails_is_told_with_its_last_line(
    tmp_path: Path, call: Call, x: Floats, litert: dict[str, Path]
) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / HEAD).write_bytes(b"no model at all, and long enough to look for one")
    error = refusal_of(tmp_path, [call], {"features": x}, litert)
    assert str(error).startswith("ai-edge-litert cannot run the exported files (exit code 1): ValueError: ")
    assert "\n" not in str(error)


def test_python_without_the_runtime_is_told_with_what_it_lacks(folder: Path, call: Call, x: Floats) -> None:
    error = refusal_of(folder, [call], {"features": x}, {"tflite-runtime": Path(sys.executable)})
    assert str(error) == (
        "tflite-runtime cannot run the exported files (exit code 1):"
        " ModuleNotFoundError: No module named 'tflite_runtime'"
    )


def test_process_that_dies_without_a_word_is_told_with_its_signal(
    tmp_path: Path, folder: Path, call: Call, x: Floats
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="utf-8")
    python.chmod(0o755)
    error = refusal_of(folder, [call], {"features": x}, {"ai-edge-litert": python})
    assert str(error) == "ai-edge-litert cannot run the exported files (exit code -11): no message"
