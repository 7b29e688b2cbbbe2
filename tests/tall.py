"""A bundle whose image tower is tall and heavy: the shipped one with float32 layers on top that change nothing.

Each is two dense layers without activation, whose weights are the identity and zeros: as large as a transformer's, and
the pictures are found as before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.demo import DEMO_BUNDLE
from edge.items import Floats

LAYERS = 8
HIDDEN = 2800  # 29 MB a layer, as in a ViT-B


def tall_bundle(folder: Path, layers: int = LAYERS, hidden: int = HIDDEN) -> Path:
    """Make `folder` a bundle whose tower has `layers` more segments, each of 8 x hidden x width bytes of weights."""
    shutil.copytree(DEMO_BUNDLE, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (tower,) = (tower for tower in manifest["towers"] if tower["modality"] == "image")
    content = _passing_on(tower["segments"][-1]["output"], hidden)
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    for number in range(layers):
        path = f"image/tall-{number:02}.float32.tflite"
        if number:
            os.link(folder / "image" / "tall-00.float32.tflite", folder / path)
        else:
            (folder / path).write_bytes(content)
        manifest["files"][path] = record
        _put_on_top(tower, path)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _put_on_top(tower: dict[str, Any], path: str) -> None:
    shape = tower["segments"][-1]["output"]
    tower["layers"] += 1
    variant = {"path": path, "format": "float32", "runtimes": ["ai-edge-litert"]}
    tower["segments"].append(
        {"depth": tower["layers"], "input": shape, "output": shape, "model": {"variants": [variant]}, "extra": []}
    )
    tower["exits"][-1] |= {"depth": tower["layers"], "segment": len(tower["segments"]) - 1}


def _passing_on(shape: list[int], hidden: int) -> bytes:
    """A TFLite file (-1, *shape) -> (-1, *shape) that gives what it gets."""
    *outer, width = shape
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 5  # keeps the outer dimensions
    model.operatorCodes, graph.tensors, graph.operators = [code], [], []
    x, wide, y = (_tensor(model, "xhy"[place], [-1, *outer, last]) for place, last in enumerate((width, hidden, width)))
    for source, target, weights in ((x, wide, np.eye(hidden, width)), (wide, y, np.eye(width, hidden))):
        operator, options = schema.OperatorT(), schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        operator.inputs = [source, _constant(model, weights.astype(np.float32)), -1]
        operator.outputs, operator.opcodeIndex = [target], 0
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [x], [y]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, name: str, shape: list[int], buffer: int = 0) -> int:
    tensor, graph = schema.TensorT(), model.subgraphs[0]
    tensor.name, tensor.type, tensor.buffer = name, schema.TensorType.FLOAT32, buffer
    tensor.shape, tensor.shapeSignature = [abs(length) for length in shape], shape
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _constant(model: Any, values: Floats) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return _tensor(model, f"weights-{len(model.buffers)}", list(values.shape), len(model.buffers) - 1)
