"""Files that a runtime runs, and paths inside a bundle. See FORMAT.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

RUNTIMES = ("ai-edge-litert", "tflite-runtime")


def check_inside(path: PurePosixPath) -> None:
    """Refuse a path out of the folder: a bundle may come from anyone and must not make the daemon read elsewhere."""
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(path):
        raise ValueError(f"path {str(path)!r} must stay inside the bundle")
    if not str(path).isprintable():  # a NUL or half a surrogate pair is no file name to the system
        raise ValueError(f"path {str(path)!r} must have printable characters only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One TFLite file of a model; `runtimes` are those that it was run on and found right."""

    path: PurePosixPath
    format: Literal["float32", "float16", "weight-int8", "dynamic-int8", "full-int8"]
    runtimes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_inside(self.path)
        unknown = sorted(set(self.runtimes) - set(RUNTIMES))
        if unknown or not self.runtimes:
            raise ValueError(f"runtimes {list(self.runtimes)} must be some of {', '.join(RUNTIMES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The same function in one or more variants, the fastest first."""

    variants: tuple[Variant, ...]

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError("a model needs at least one variant")
