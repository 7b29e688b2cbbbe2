"""A torch module -> ONNX -> TFLite float32 -> the formats that the bundle ships.

ONNX through `torch.onnx`, TFLite through onnx2tf (flatbuffer_direct, no TensorFlow), formats through ai-edge-quantizer.
Same versions give the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import onnx
import onnx2tf
import torch
from ai_edge_quantizer import qtyping, quantizer
from torch import Tensor, nn

from converter.towers.efficientnet_lite import Convolution

OPSET = 17
_SIGNATURE = "serving_default"  # the only one of what onnx2tf writes
Format = Literal["float32", "float16", "weight-int8", "dynamic-int8", "full-int8"]


def export(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    targets: Mapping[Format, Path],
    samples: Mapping[str, Tensor] | None = None,
) -> None:
    """Write `module` to each target in its format: float32, float16, weight-int8, dynamic-int8 or full-int8.

    inputs:  example batches (2, ...) by name; the batch stays free. The module returns one tensor.
    samples: real inputs (N, ...) by name, some hundreds, from which full-int8 takes the range of each activation;
             values beyond are cut. full-int8 is for MLPs: inputs and output are float32, all between them is INT8

    Raises ValueError for full-int8 without samples.
    """
    if "full-int8" in targets and not samples:
        raise ValueError("full-int8 needs samples: the ranges of its activations come from them")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        graph = Path(folder) / "model.onnx"
        _to_onnx(module, inputs, graph)
        float32 = _to_tflite(graph, tuple(inputs))
        for kind, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if kind == "float32":
                target.write_bytes(float32.read_bytes())
            elif kind == "full-int8" and samples:
                _to_integers(float32, samples, target)
            else:
                _quantise(float32, kind, target)


def _to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], path: Path) -> None:
    free_batch = {name: {0: "N"} for name in (*inputs, "y")}
    torch.onnx.export(
        module.eval(),
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=["y"],
        dynamic_axes=free_batch,
        opset_version=OPSET,
        dynamo=False,
    )
    convolutions = [part for part in module.modules() if isinstance(part, Convolution)]
    if convolutions:
        _pad_same(path, convolutions)


def _pad_same(path: Path, convolutions: list[Convolution]) -> None:
    """Write the asymmetric padding that torch could not express into the ONNX Conv nodes."""
    model = onnx.load(str(path))
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    for convolution, node in zip(convolutions, nodes, strict=True):
        (pads,) = (attribute for attribute in node.attribute if attribute.name == "pads")
        pads.ints[:] = convolution.same_pads
    onnx.save(model, str(path))


def _to_tflite(graph: Path, inputs: tuple[str, ...]) -> Path:
    folder = graph.parent / "tflite"
    onnx2tf.convert(
        input_onnx_file_path=str(graph),
        output_folder_path=str(folder),
        keep_shape_absolutely_input_names=list(inputs),  # else rank-3 inputs are transposed
        not_use_onnxsim=True,
        non_verbose=True,
    )
    return folder / f"{graph.stem}_float32.tflite"


def _quantise(source: Path, kind: Format, target: Path) -> None:
    operations = qtyping.TFLOperationName
    if kind == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        scope, algorithm, integer = operations.ALL_SUPPORTED, "float_casting", False
    else:
        # Only fully connected layers, per channel: INT8 does not hold on depthwise convolutions, nor does per tensor.
        weights = qtyping.TensorQuantizationConfig(
            num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        )
        scope, algorithm = operations.FULLY_CONNECTED, "min_max_uniform_quantize"
        integer = kind == "dynamic-int8"
    precision = qtyping.ComputePrecision.INTEGER if integer else qtyping.ComputePrecision.FLOAT
    job = quantizer.Quantizer(str(source))
    job.update_quantization_recipe(
        regex=".*",
        operation_name=scope,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=precision, explicit_dequantize=not integer
        ),
        algorithm_key=algorithm,
    )
    target.write_bytes(job.quantize().quantized_model)


def _to_integers(source: Path, samples: Mapping[str, Tensor], target: Path) -> None:
    operations = qtyping.TFLOperationName
    job = quantizer.Quantizer(str(source))
    job.update_quantization_recipe(
        regex=".*",
        operation_name=operations.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            activation_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=False),
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
            ),
            compute_precision=qtyping.ComputePrecision.INTEGER,
        ),
        algorithm_key="min_max_uniform_quantize",
    )
    for end in (operations.INPUT, operations.OUTPUT):
        job.update_quantization_recipe(regex=".*", operation_name=end, algorithm_key="no_quantize")
    # One batch of all: of several the quantiser averages the ranges, and cuts what lies outside the mean one.
    batch = {name: value.numpy() for name, value in samples.items()}
    ranges = job.calibrate({_SIGNATURE: [batch]})
    target.write_bytes(job.quantize(ranges).quantized_model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converters print a page a model and warn about their own deprecations; errors are raised all the same."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
