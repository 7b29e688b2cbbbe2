"""Small real modules, exported in every format and run as the device runs them, against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.export import Format, export
from converter.heads import ExitHead, statistics
from converter.towers.efficientnet_lite import Convolution, Segment
from edge.items import Floats
from edge.runtime import open_interpreter

pytestmark = pytest.mark.convert

FORMATS: tuple[Format, ...] = ("float32", "float16", "weight-int8", "dynamic-int8")
LEAST_COSINE = {"float32": 0.999999, "float16": 0.9999, "weight-int8": 0.999, "dynamic-int8": 0.998}


class Statistics(nn.Module):
    """The statistics alone, to see each of them."""

    def forward(self, x: Tensor) -> Tensor:
        return statistics(x)


class Masked(nn.Module):
    """Two inputs of different rank, like the text tower's."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x * mask.reshape(-1, 5, 1)).sum(1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolution(channels: int, wide: int, stride: int, side: int, seed: int) -> Convolution:
    conv, norm = nn.Conv2d(channels, wide, 3, stride, bias=False), nn.BatchNorm2d(wide).eval()
    conv.weight.data = 0.3 * noise(wide, channels, 3, 3, seed=seed)
    norm.running_mean, norm.running_var = 0.1 * noise(wide, seed=seed + 1), noise(wide, seed=seed + 2).abs() + 0.5
    return Convolution(conv, norm, relu6=True, side=side)


def segment(side: int) -> Segment:
    """Two convolutions, one of them at stride 2 with TensorFlow's "same" padding."""
    first = convolution(3, 8, 2, side, seed=1)
    return Segment([first, convolution(8, 8, 1, first.out_side, seed=4)])


def head() -> ExitHead:
    made = ExitHead(noise(112, seed=1), noise(112, seed=2).abs() + 0.5)
    made.linear.weight.data, made.linear.bias.data = 0.1 * noise(384, 112, seed=3), 0.1 * noise(384, seed=4)
    return made


def run(path: Path, **inputs: Floats) -> Floats:
    return open_interpreter(path, "ai-edge-litert", 1).run(inputs)


def by_torch(module: nn.Module, *inputs: Floats) -> Floats:
    with torch.no_grad():
        made: Floats = module(*map(torch.from_numpy, inputs)).numpy()
    return made


def cosines(one: Floats, other: Floats) -> Floats:
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    made: Floats = (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return made


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    folder = tmp_path_factory.mktemp("heads")
    targets = {kind: folder / "deep" / f"head.{kind}.tflite" for kind in FORMATS}
    export(head(), {"x": torch.zeros(2, 7, 7, 16)}, targets)
    return targets


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("kind", FORMATS)
def test_exit_head_in_every_format_computes_what_torch_computes(
    heads: dict[Format, Path], kind: Format, batch: int
) -> None:
    x = noise(batch, 7, 7, 16).numpy()
    made = run(heads[kind], x=x)
    assert made.shape == (batch, 384)
    assert made.dtype == np.float32
    assert cosines(made, by_torch(head(), x)).min() >= LEAST_COSINE[kind]
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_formats_differ_in_size_as_their_weights_do(heads: dict[Format, Path]) -> None:
    weights = 384 * 112
    sizes = {kind: path.stat().st_size / weights for kind, path in heads.items()}
    assert 4.0 < sizes["float32"] < 4.6
    assert 2.0 < sizes["float16"] < 2.6
    assert 1.0 < sizes["weight-int8"] < 1.6
    assert 1.0 < sizes["dynamic-int8"] < 1.6


def test_the_two_int8_formats_are_two_computations(heads: dict[Format, Path]) -> None:
    x = noise(8, 7, 7, 16).numpy()
    weights_alone, dynamic = run(heads["weight-int8"], x=x), run(heads["dynamic-int8"], x=x)
    assert np.abs(weights_alone - dynamic).max() > 1e-5


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("side", [8, 9])
def test_convolutions_with_same_padding_compute_what_torch_computes(tmp_path: Path, side: int, kind: Format) -> None:
    module = segment(side)
    export(module, {"x": torch.zeros(2, side, side, 3)}, {kind: tmp_path / "segment.tflite"})
    for batch in (1, 8):
        x = noise(batch, side, side, 3).numpy()
        made, wanted = run(tmp_path / "segment.tflite", x=x), by_torch(module, x)
        assert made.shape == wanted.shape == (batch, -(-side // 2), -(-side // 2), 8)
        # Every value, not their mean: padding on the wrong side shifts the picture by one pixel.
        np.testing.assert_allclose(made, wanted, atol=1e-5 if kind == "float32" else 0.02)


def test_padding_at_stride_2_is_the_one_of_tensorflow_and_not_torchs_own() -> None:
    module = convolution(3, 8, 2, 8, seed=1)
    assert module.same_pads == [0, 0, 1, 1]
    x = noise(1, 3, 8, 8)
    assert (module(x) - module.conv(x).clamp(0, 6)).abs().max() > 0.1


@pytest.mark.parametrize("sides", [(7, 7), (7, 4), (14, 14)])
def test_statistics_of_odd_sides_survive_the_export(tmp_path: Path, sides: tuple[int, int]) -> None:
    # Traced as tensors, the halving of 7 was rounded the wrong way in the file, and every quarter was off.
    export(Statistics(), {"x": torch.zeros(2, *sides, 16)}, {"float32": tmp_path / "statistics.tflite"})
    for batch in (1, 8):
        x = noise(batch, *sides, 16).numpy()
        np.testing.assert_allclose(run(tmp_path / "statistics.tflite", x=x), by_torch(Statistics(), x), atol=1e-5)


def test_inputs_keep_their_names_their_order_of_axes_and_a_free_batch(tmp_path: Path) -> None:
    inputs = {"x": torch.zeros(2, 5, 6), "mask": torch.ones(2, 5)}
    export(Masked(), inputs, {"float32": tmp_path / "masked.tflite"})
    interpreter = open_interpreter(tmp_path / "masked.tflite", "ai-edge-litert", 1)
    for batch in (3, 1, 8, 1):
        x, mask = noise(batch, 5, 6).numpy(), (noise(batch, 5, seed=1) > 0).float().numpy()
        made = interpreter.run({"x": x, "mask": mask})
        np.testing.assert_allclose(made, by_torch(Masked(), x, mask), atol=1e-6)


def test_two_exports_of_the_same_module_are_equal_bytes(heads: dict[Format, Path], tmp_path: Path) -> None:
    again = {kind: tmp_path / f"head.{kind}.tflite" for kind in FORMATS}
    export(head(), {"x": torch.zeros(2, 7, 7, 16)}, again)
    for kind in FORMATS:
        assert again[kind].read_bytes() == heads[kind].read_bytes(), kind


def test_export_does_not_depend_on_the_values_of_the_example(heads: dict[Format, Path], tmp_path: Path) -> None:
    export(head(), {"x": noise(2, 7, 7, 16)}, {"float32": tmp_path / "head.tflite"})
    assert (tmp_path / "head.tflite").read_bytes() == heads["float32"].read_bytes()


def test_export_says_nothing_and_leaves_only_its_targets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export(Statistics(), {"x": torch.zeros(2, 4, 4, 2)}, {"float32": tmp_path / "one.tflite"})
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["one.tflite"]
