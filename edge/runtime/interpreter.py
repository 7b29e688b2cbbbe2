"""One TFLite file, loaded: the `Interpreter` protocol and the choice among the runtimes that implement it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from edge.bundle import Model, Variant
from edge.config import Backend
from edge.errors import RuntimeMissingError
from edge.items import Floats


class Interpreter(Protocol):
    """A loaded TFLite file. Not thread-safe: one thread calls `run`.

    runtime:  the name under which variants list it, see edge.bundle.RUNTIMES
    invoke_s: seconds that all runs so far spent computing, without copies and planning
    """

    runtime: str
    invoke_s: float

    def plan(self, batch: int) -> None:
        """Get ready for `run` on `batch` items: the first time packs the weights and holds Python's global lock."""

    def run(self, inputs: Mapping[str, Floats]) -> Floats:
        """Run once: float32 arrays (N, ...) by input name -> the one output (N, ...); N may change from call to call.

        Raises RuntimeError when the file cannot run on these shapes.
        """


Opener = Callable[[Path, int], Interpreter]


def _open_litert(path: Path, threads: int) -> Interpreter:
    from edge.runtime.litert import LiteRtInterpreter  # noqa: PLC0415 - imported only where installed

    return LiteRtInterpreter(path, threads)


def _open_tflite(path: Path, threads: int) -> Interpreter:
    from edge.runtime.tflite import TfliteInterpreter  # noqa: PLC0415 - imported only where installed

    return TfliteInterpreter(path, threads)


# The default first: it is faster, and right on per-channel dynamic INT8, where tflite-runtime errs silently.
_RUNTIMES: dict[str, tuple[str, Opener]] = {
    "ai-edge-litert": ("ai_edge_litert", _open_litert),
    "tflite-runtime": ("tflite_runtime", _open_tflite),
}


def installed_runtimes() -> tuple[str, ...]:
    """Names of the runtimes that this Python has, the default first."""
    return tuple(name for name, (module, _) in _RUNTIMES.items() if importlib.util.find_spec(module))


def choose_runtime(backend: Backend) -> str:
    """The runtime to use. Raises RuntimeMissingError that names what to install."""
    installed = installed_runtimes()
    if backend == "auto" and installed:
        return installed[0]
    if backend in installed:
        return backend
    wanted = "ai-edge-litert" if backend == "auto" else backend
    raise RuntimeMissingError(f"no TFLite runtime {wanted!r} is installed: run `pip install {wanted}`")


def choose_variant(model: Model, runtime: str) -> Variant:
    """The fastest variant that is right on `runtime`. Raises RuntimeMissingError when there is none."""
    for variant in model.variants:
        if runtime in variant.runtimes:
            return variant
    names = ", ".join(str(variant.path) for variant in model.variants)
    right = sorted({name for variant in model.variants for name in variant.runtimes})
    raise RuntimeMissingError(f"{names} is not right on {runtime}: install {' or '.join(right)}")


def open_interpreter(path: Path, runtime: str, threads: int) -> Interpreter:
    """Load a TFLite file with one of `installed_runtimes()`; `threads` are those of one `run`."""
    return _RUNTIMES[runtime][1](path, threads)
