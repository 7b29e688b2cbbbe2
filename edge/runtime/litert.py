"""The default runtime: ai-edge-litert (aarch64 and x86-64, Python 3.10 and later)."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter as Native

from edge.runtime._native import NativeInterpreter


class LiteRtInterpreter(NativeInterpreter):
    """A file loaded by ai-edge-litert; `path` is memory-mapped."""

    runtime = "ai-edge-litert"

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(Native(model_path=str(path), num_threads=threads))
