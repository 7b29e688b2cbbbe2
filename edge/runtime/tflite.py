"""The second runtime: tflite-runtime 2.14 (Python up to 3.11, numpy 1), for systems that already have it."""

from __future__ import annotations

from pathlib import Path

from tflite_runtime.interpreter import Interpreter as Native

from edge.runtime._native import NativeInterpreter


class TfliteInterpreter(NativeInterpreter):
    """A file loaded by tflite-runtime; `path` is memory-mapped."""

    runtime = "tflite-runtime"

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(Native(model_path=str(path), num_threads=threads))
