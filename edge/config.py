"""The typed configuration: every key with its default, range and unit. `config.yaml` at the top lists them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.decode import DecodeError, load_yaml

DEMO_BUNDLE = Path(__file__).parent / "demo" / "bundle"
Backend = Literal["auto", "ai-edge-litert", "tflite-runtime"]


def _check_ranges(section: object, **ranges: tuple[int, int]) -> None:
    """Raises DecodeError with every field that is out of its range."""
    values = {name: getattr(section, name) for name in ranges}
    problems = tuple(
        f"{name} is {values[name]}: must be {low} to {high}"
        for name, (low, high) in ranges.items()
        if not low <= values[name] <= high
    )
    if problems:
        raise DecodeError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """backend: which TFLite runtime; auto takes the fastest installed.

    threads: processor cores of one segment call; more than half of a board's slow everything else down
    """

    backend: Backend = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        _check_ranges(self, threads=(1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberConfig:
    """exit_depth: layers after which items leave the tower; more costs more and finds more.

    batch: items that ride up the tower together; more needs more memory
    """

    exit_depth: int = 11
    batch: int = 8

    def __post_init__(self) -> None:
        _check_ranges(self, batch=(1, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallConfig:
    """pool: best coarse answers that are finished to the last exit for each question; 0 answers from the coarse search.

    limit: answers to a question
    """

    pool: int = 50
    limit: int = 5

    def __post_init__(self) -> None:
        _check_ranges(self, pool=(0, 10_000), limit=(1, 1_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """annoy_from: items from which an approximate forest replaces exact search, if annoy is installed.

    Below some 100,000 items one matrix product is as fast and exact.
    """

    annoy_from: int = 100_000

    def __post_init__(self) -> None:
        _check_ranges(self, annoy_from=(1, 1_000_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set. bundle: folder of the model; null is the demo bundle that ships with the package."""

    bundle: str | None = None
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    remember: RememberConfig = field(default_factory=RememberConfig)
    recall: RecallConfig = field(default_factory=RecallConfig)
    index: IndexConfig = field(default_factory=IndexConfig)


def load_config(path: Path) -> Config:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Config, path)
