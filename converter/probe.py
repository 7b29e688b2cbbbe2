"""The trunk as it is, in exported segments: what an exit costs where it will run, and features, sooner than torch."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from converter.console import Console
from converter.export import export
from converter.recipe import Format
from converter.towers.tower import ItemTower
from edge.items import Floats
from edge.runtime import Interpreter, open_interpreter

ROUNDS = 40
BATCH = 8
THREADS = 2
Ticker = Callable[[int], object]


@contextlib.contextmanager
def exported(
    tower: ItemTower, kind: Format, exits: Sequence[int], threads: int
) -> Iterator[list[tuple[Interpreter, Floats]]]:
    """An interpreter for each run of layers that ends at an exit, with an example (2, ...) of its input."""
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        x = torch.zeros(2, tower.preprocess.size, tower.preprocess.size, 3)
        for start, end in zip((0, *exits), exits, strict=False):
            target, segment = Path(folder) / f"{end}.tflite", tower.segment(start, end)
            export(segment, {"x": x}, {kind: target})
            runs.append((open_interpreter(target, "ai-edge-litert", threads), x.numpy()))
            with torch.no_grad():
                x = segment(x)
        yield runs


def segment_costs(
    tower: ItemTower, kind: Format, exits: Sequence[int], console: Console
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Share of full depth's milliseconds at each exit, and the milliseconds: medians of one item, one thread.

    Healing changes numbers, not work: the trunk as it is costs what the healed one will. Segments are timed in turn,
    round by round, so that noise hits all alike. Heads are left out: they are less than a hundredth of a segment.
    """
    with exported(tower, kind, exits, 1) as runs, console.bar(ROUNDS, "rounds of timing exits") as tick:
        spent: list[list[float]] = [[] for _ in runs]
        for _ in range(ROUNDS):
            for times, (interpreter, inputs) in zip(spent, runs, strict=True):
                began = time.perf_counter()
                interpreter.run({"x": inputs[:1]})
                times.append(1e3 * (time.perf_counter() - began))
            tick(1)
    ms = np.cumsum([statistics.median(times) for times in spent])
    return tuple(float(share) for share in ms / ms[-1]), tuple(float(one) for one in ms)


@torch.no_grad()
def stream_features(
    tower: ItemTower,
    items: Iterable[Floats],
    exits: Sequence[int],
    read: Callable[[Tensor], Tensor],
    tick: Ticker,
) -> dict[int, Tensor]:
    """What `read` makes of the activations at `exits`, by depth, in float32; no activation is kept."""
    rest = iter(items)
    found: dict[int, list[Tensor]] = {depth: [] for depth in exits}
    with exported(tower, "float32", exits, THREADS) as runs:
        while batch := list(islice(rest, BATCH)):
            x: Floats = np.stack(batch)
            for depth, (interpreter, _) in zip(exits, runs, strict=True):
                x = interpreter.run({"x": x})
                found[depth].append(read(torch.from_numpy(x)))
            tick(len(batch))
    return {depth: torch.cat(parts) for depth, parts in found.items()}
