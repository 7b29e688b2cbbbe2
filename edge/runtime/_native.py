"""What both runtimes share: they are the same C++ interpreter behind two Python packages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from edge.items import Floats


class NativeInterpreter:
    """Feeds a native interpreter by input name and resizes it when the batch changes."""

    def __init__(self, native: Any) -> None:
        self._native = native
        details = {_plain(detail["name"]): detail for detail in native.get_input_details()}
        self._inputs = {name: detail["index"] for name, detail in details.items()}
        self._takes = {name: tuple(map(int, detail["shape_signature"])) for name, detail in details.items()}
        (output,) = native.get_output_details()
        self._output = output["index"]
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.invoke_s = 0.0

    def plan(self, batch: int) -> None:
        """See `edge.runtime.Interpreter.plan`."""
        self._plan({name: (batch, *shape[1:]) for name, shape in self._takes.items()})

    def run(self, inputs: Mapping[str, Floats]) -> Floats:
        """See `edge.runtime.Interpreter.run`."""
        shapes = {name: inputs[name].shape for name in self._inputs}
        for name, shape in shapes.items():
            # Refused here: tflite-runtime 2.14 can crash in the run after one whose shape it refused itself.
            if shape[1:] != self._takes[name][1:]:
                raise RuntimeError(f"input {name} has shape {shape}, the file takes {self._takes[name]}, -1 being free")
        self._plan(shapes)
        for name, index in self._inputs.items():
            self._native.set_tensor(index, inputs[name])
        began = time.perf_counter()
        self._native.invoke()
        self.invoke_s += time.perf_counter() - began
        output: Floats = self._native.get_tensor(self._output)
        return output

    def _plan(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if shapes == self._shapes:
            return
        self._shapes = {}
        for name, shape in shapes.items():
            self._native.resize_tensor_input(self._inputs[name], shape)
        self._native.allocate_tensors()
        self._shapes = shapes


def _plain(name: str) -> str:
    """Input names as exported: some converters write "serving_default_x:0" for "x"."""
    return name.removeprefix("serving_default_").partition(":")[0]
