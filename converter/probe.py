"""Milliseconds of each exit, from exported segments: what an exit costs is measured where it will run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from converter.console import Console
from converter.export import export
from converter.recipe import Format
from converter.towers.tower import ItemTower
from edge.runtime import open_interpreter

ROUNDS = 40
BATCH = 1


def segment_costs(
    tower: ItemTower, kind: Format, exits: Sequence[int], console: Console
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Share of full depth's milliseconds at each exit, and the milliseconds: medians of one item, one thread.

    Healing changes numbers, not work: the trunk as it is costs what the healed one will. Segments are timed in turn,
    round by round, so that noise hits all alike. Heads are left out: they are less than a hundredth of a segment.
    """
    with tempfile.TemporaryDirectory() as folder, console.bar(len(exits) + ROUNDS, "steps of timing exits") as tick:
        runs = []
        x = torch.zeros(2, *_input_shape(tower))
        for start, end in zip((0, *exits), exits, strict=False):
            target = Path(folder) / f"{end}.tflite"
            segment = tower.segment(start, end)
            export(segment, {"x": x}, {kind: target})
            runs.append((open_interpreter(target, "ai-edge-litert", 1), x[:BATCH].numpy()))
            with torch.no_grad():
                x = segment(x)
            tick(1)
        spent: list[list[float]] = [[] for _ in runs]
        for _ in range(ROUNDS):
            for times, (interpreter, inputs) in zip(spent, runs, strict=True):
                began = time.perf_counter()
                interpreter.run({"x": inputs})
                times.append(1e3 * (time.perf_counter() - began) / BATCH)
            tick(1)
    ms = np.cumsum([statistics.median(times) for times in spent])
    return tuple(float(share) for share in ms / ms[-1]), tuple(float(one) for one in ms)


def _input_shape(tower: ItemTower) -> tuple[int, ...]:
    return (tower.preprocess.size, tower.preprocess.size, 3)
