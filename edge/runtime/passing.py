"""Weights that pass through memory: of a tower that is run seldom, only the file that computes is there."""

from __future__ import annotations

from collections.abc import Mapping

from edge.bundle import Model
from edge.heap import return_free_blocks
from edge.items import Floats
from edge.runtime.weights import Interpreters


class Passing:
    """`Weights` that open a file for each call and let it go behind it; none is in memory between two calls."""

    waiting_s = 0.0

    def __init__(self, files: Interpreters) -> None:
        self._files = files

    @property
    def invoke_s(self) -> float:
        """See `Weights.invoke_s`."""
        return self._files.invoke_s

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """See `Weights.invoke`."""
        interpreter = self._files.open(model)
        try:
            return self._files.run(interpreter, inputs)
        finally:
            del interpreter
            return_free_blocks()
