"""The trunk as it is, in exported segments: what an exit costs where it will run, and features, sooner than torch."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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
Run = tuple[Interpreter, Floats]


@contextlib.contextmanager
def exported(tower: ItemTower, kind: Format, exits: Sequence[int], threads: int) -> Iterator[list[Run]]:
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


@dataclass(frozen=True, slots=True)
class Costs:
    """Milliseconds of one item on one thread up to each exit, (E,): in the format that ships, and in float32."""

    ms: tuple[float, ...]
    float32_ms: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Of full depth's milliseconds."""
        return tuple(one / self.ms[-1] for one in self.ms)


def segment_costs(tower: ItemTower, kind: Format, exits: Sequence[int], console: Console) -> Costs:
    """What the trunk as it is costs, as exported. Healing changes numbers, not work: the healed one will cost the same.

    Heads are left out: they are less than a hundredth of a segment.
    """
    with (
        exported(tower, kind, exits, 1) as ships,
        exported(tower, "float32", exits, 1) as plain,
        console.bar(ROUNDS, "rounds of timing exits") as tick,
    ):
        return timed(ships, plain, tick)


def timed(ships: Sequence[Run], plain: Sequence[Run], tick: Ticker) -> Costs:
    """The quickest of many runs of each segment: whatever else the machine does can only add.

    ships, plain: the same segments in the format that ships, and in float32. All are timed in turn, round by round, so
    that noise hits all alike.
    """
    spent: list[list[float]] = []
    for _ in range(ROUNDS):
        spent.append([_once_ms(*run) for run in (*ships, *plain)])
        tick(1)
    ms, float32_ms = np.array(spent).min(0).reshape(2, -1).cumsum(1).tolist()
    return Costs(tuple(ms), tuple(float32_ms))


def _once_ms(interpreter: Interpreter, inputs: Floats) -> float:
    began = time.perf_counter()
    interpreter.run({"x": inputs[:1]})
    return 1e3 * (time.perf_counter() - began)


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
