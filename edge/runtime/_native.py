"""What both runtimes share: they are the same C++ interpreter behind two Python packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.items import Floats


class NativeInterpreter:
    """Feeds a native interpreter by input name and runs it a row at a time."""

    def __init__(self, native: Any) -> None:
        self._native = native
        details = {_plain(detail["name"]): detail for detail in native.get_input_details()}
        self._inputs = {name: detail["index"] for name, detail in details.items()}
        self._takes = {name: tuple(map(int, detail["shape_signature"])) for name, detail in details.items()}
        (output,) = native.get_output_details()
        self._output = output["index"]
        self._is_planned = False

    def run(self, inputs: Mapping[str, Floats]) -> Floats:
        """See `edge.runtime.Interpreter.run`.

        One row after another: the runtime keeps room for what lies between two layers, of all rows at once and of every
        file. With 8 photos that is 400 MB and no faster, since one photo's share is already more than a cache holds.
        """
        shapes = {name: inputs[name].shape for name in self._inputs}
        for name, shape in shapes.items():
            # Refused here: tflite-runtime 2.14 can crash in the run after one whose shape it refused itself.
            if shape[1:] != self._takes[name][1:]:
                raise RuntimeError(f"input {name} has shape {shape}, the file takes {self._takes[name]}, -1 being free")
        rows = {shape[0] for shape in shapes.values()}
        if len(rows) > 1 or not all(rows):
            raise RuntimeError(f"the inputs have {sorted(rows)} rows: must be as many in each, and one at least")
        self._plan(shapes)
        return np.concatenate([self._run_row(inputs, row) for row in range(rows.pop())])

    def _plan(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if not self._is_planned:  # again, it costs about as much as one small segment
            for name, shape in shapes.items():
                self._native.resize_tensor_input(self._inputs[name], (1, *shape[1:]))
            self._native.allocate_tensors()
            self._is_planned = True

    def _run_row(self, inputs: Mapping[str, Floats], row: int) -> Floats:
        for name, index in self._inputs.items():
            self._native.set_tensor(index, inputs[name][row : row + 1])
        self._native.invoke()
        output: Floats = self._native.get_tensor(self._output)
        return output


def _plain(name: str) -> str:
    """Input names as exported: some converters write "serving_default_x:0" for "x"."""
    return name.removeprefix("serving_default_").partition(":")[0]
