"""The TFLite files of a bundle as the compute thread sees them: `Weights`, and those that all stay open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from edge.bundle import Model
from edge.items import Floats
from edge.runtime.interpreter import Interpreter, choose_variant, open_interpreter

Invoke: TypeAlias = Callable[[Model, Mapping[str, Floats]], Floats]


class Weights(Protocol):
    """Runs the files of one bundle. One thread at a time."""

    @property
    def invoke_s(self) -> float:
        """Seconds that all calls so far spent computing, inside the native interpreters."""

    @property
    def waiting_s(self) -> float:
        """Seconds that they waited for another thread to open their file."""

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file once; see `Interpreter.run`.

        Raises RuntimeMissingError when no variant suits the runtime, RuntimeError or ValueError when it cannot be
        opened or run.
        """


class Interpreters:
    """Weights that are resident: each file is opened on first use and kept.

    runtime: one of `installed_runtimes()`; threads: those of one call
    """

    waiting_s = 0.0

    def __init__(self, folder: Path, runtime: str, threads: int) -> None:
        self._folder, self._runtime, self._threads = folder, runtime, threads
        self._opened: dict[Model, Interpreter] = {}
        self.invoke_s = 0.0

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """See `Weights.invoke`."""
        if model not in self._opened:
            self._opened[model] = self.open(model)
        return self.run(self._opened[model], inputs)

    def run(self, interpreter: Interpreter, inputs: Mapping[str, Floats]) -> Floats:
        """Run one that `open` returned; its time counts here."""
        before = interpreter.invoke_s
        result = interpreter.run(inputs)
        self.invoke_s += interpreter.invoke_s - before
        return result

    def open(self, model: Model) -> Interpreter:
        """A new interpreter of the file, which is not kept. From any thread."""
        path = self._folder / choose_variant(model, self._runtime).path
        return open_interpreter(path, self._runtime, self._threads)
