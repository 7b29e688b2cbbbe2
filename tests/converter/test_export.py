"""Small real modules, exported in every format and run as the device runs them, against torch."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import Tensor, nn

from converter.export import Format, export
from converter.heads.forms import ExitHead, statistics
from converter.towers.efficientnet_lite import Convolution, Segment
from edge.bundle import RUNTIMES
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


ROOT = Path(__file__).resolve().parents[2]
WIDTH, CLASSES = 24, 4  # of the MLP


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


@pytest.fixture(scope="module")
def trained() -> nn.Sequential:
    """An MLP of the predictor's form that has learnt something: of an untrained one the best output is a coin's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(*(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)))
    x = noise(2000, WIDTH, seed=1)
    labels = (x @ noise(WIDTH, CLASSES, seed=2)).argmax(1)
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def integers(trained: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MLP in full-int8."""
    path = tmp_path_factory.mktemp("integers") / "mlp.full-int8.tflite"
    export(trained, {"x": torch.zeros(2, WIDTH)}, {"full-int8": path}, {"x": noise(1000, WIDTH, seed=3)})
    return path


@pytest.fixture(params=RUNTIMES)
def on_each(request: pytest.FixtureRequest, runtimes: dict[str, Path], tmp_path: Path) -> Callable[..., Floats]:
    """`on_each(path, x, batch)`: the file's output on one of the runtimes, in that runtime's own Python."""

    def run_there(path: Path, x: Floats, batch: int) -> Floats:
        np.savez(tmp_path / "in.npz", x=x)
        call = {"path": str(path), "reads": {"x": "x"}, "writes": "y"}
        (tmp_path / "job.json").write_text(json.dumps({"runtime": request.param, "batch": batch, "calls": [call]}))
        files = [str(tmp_path / name) for name in ("job.json", "in.npz", "out.npz")]
        command = [str(runtimes[request.param]), "-m", "converter.run_files", *files]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        with np.load(tmp_path / "out.npz") as made:
            y: Floats = made["y"]
        return y

    return run_there


def test_integer_mlp_decides_as_torch_does_on_both_runtimes(
    integers: Path, trained: nn.Sequential, on_each: Callable[..., Floats]
) -> None:
    x = noise(4000, WIDTH, seed=4).numpy()
    made, wanted = on_each(integers, x, batch=500), by_torch(trained, x)
    assert made.shape == wanted.shape
    assert made.dtype == np.float32
    assert (made.argmax(1) == wanted.argmax(1)).mean() >= 0.99
    assert np.abs(made - wanted).mean() < 0.02 * wanted.std()


def test_integer_mlp_gives_in_a_batch_what_it_gives_alone(integers: Path, on_each: Callable[..., Floats]) -> None:
    x = noise(16, WIDTH, seed=5).numpy()
    np.testing.assert_array_equal(on_each(integers, x, batch=8), on_each(integers, x, batch=1))


def test_all_that_an_integer_mlp_computes_is_int8_and_only_its_ends_are_float32(integers: Path) -> None:
    # Without the delegate, which would hide what it took over.
    native = Interpreter(
        model_path=str(integers), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    native.allocate_tensors()
    dtypes = {detail["index"]: detail["dtype"] for detail in native.get_tensor_details()}
    steps = [(step["op_name"], {dtypes[index] for index in step["outputs"]}) for step in native._get_ops_details()]
    assert steps[0] == ("QUANTIZE", {np.int8})
    assert steps[-1] == ("DEQUANTIZE", {np.float32})
    assert {kind for _, kinds in steps[1:-1] for kind in kinds} == {np.int8}
    weights = [dtypes[step["inputs"][1]] for step in native._get_ops_details() if step["op_name"] == "FULLY_CONNECTED"]
    assert weights == [np.int8] * 3
    assert [detail["dtype"] for detail in (*native.get_input_details(), *native.get_output_details())] == [
        np.float32
    ] * 2


def test_integer_ranges_are_those_of_all_samples_and_values_beyond_are_cut(
    trained: nn.Sequential, tmp_path: Path
) -> None:
    samples = noise(200, WIDTH, seed=6)
    samples[7] = 10 * samples[7]  # one far out among the many
    export(trained, {"x": torch.zeros(2, WIDTH)}, {"full-int8": tmp_path / "wide.tflite"}, {"x": samples})
    wide, wanted = run(tmp_path / "wide.tflite", x=samples[7:8].numpy()), by_torch(trained, samples[7:8].numpy())
    assert cosines(wide, wanted).min() >= 0.99
    assert np.abs(wide).max() == pytest.approx(np.abs(wanted).max(), rel=0.05)
    beyond = run(tmp_path / "wide.tflite", x=10 * samples[7:8].numpy())
    assert np.abs(beyond).max() < 2 * np.abs(wanted).max()


def test_two_integer_exports_are_equal_bytes(integers: Path, trained: nn.Sequential, tmp_path: Path) -> None:
    again = tmp_path / "again.tflite"
    export(trained, {"x": torch.zeros(2, WIDTH)}, {"full-int8": again}, {"x": noise(1000, WIDTH, seed=3)})
    assert again.read_bytes() == integers.read_bytes()


@pytest.mark.parametrize("samples", [None, {}])
def test_integers_without_samples_are_refused_before_anything_is_written(
    trained: nn.Sequential, tmp_path: Path, samples: dict[str, Tensor] | None
) -> None:
    targets: dict[Format, Path] = {"float32": tmp_path / "a.tflite", "full-int8": tmp_path / "b.tflite"}
    with pytest.raises(ValueError, match=r"^full-int8 needs samples: the ranges of its activations come from them$"):
        export(trained, {"x": torch.zeros(2, WIDTH)}, targets, samples)
    assert list(tmp_path.iterdir()) == []
