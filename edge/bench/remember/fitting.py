"""What the baselines need to cost the same as ours: found on photos that are not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bank import Banks
from edge.bench.remember.ways import fit_thresholds
from edge.bundle import Bundle, Tower
from edge.config import RememberConfig
from edge.items import Floats
from edge.relevance import ENTROPY
from edge.remember import Elevator, open_policy
from edge.runtime import Interpreters, TowerRunner


@dataclass(frozen=True, slots=True)
class Equal:
    """Of equal cost: the number of a fixed exit, and (E,) thresholds of confidence; `cost` is ours, of full depth's."""

    cost: float
    exit_: int
    thresholds: tuple[float, ...]


def costs_of(tower: Tower) -> Floats:
    """(E,) shares of full depth's milliseconds; layers stand for what a bundle did not measure."""
    return np.array([place.cost or place.depth / tower.layers for place in tower.exits], dtype=np.float32)


def nearest_exit(tower: Tower, cost: float) -> int:
    """The number of the exit that costs most nearly so much."""
    return int(np.abs(costs_of(tower) - cost).argmin())


def fit(bundle: Bundle, runtime: str, config: RememberConfig, photos: Sequence[Path]) -> Equal:
    """Let the bundle's policy take `photos` up, and find what costs as much. Raises UnreadableItemError, UsageError."""
    manifest, folder = bundle.manifest, bundle.folder
    invoke = Interpreters(folder, runtime, 1).invoke
    image, text = (TowerRunner(folder, manifest.tower(name), invoke) for name in ("image", "text"))
    tower, banks = image.spec, Banks(folder, manifest.bank, text)
    elevator = Elevator(image, open_policy(tower, config, folder, invoke), banks)
    entropies, exits = [], []
    for photo in tqdm(photos, "fitting baselines of equal cost", unit=" photos", leave=False, disable=None):
        start = image.start_images([photo.read_bytes()])
        (left,) = elevator.ride([start])
        exits.append(tower.exits.index(left.exit))
        row = []
        for place in tower.exits:
            start = image.advance(start, place.segment)
            row.append(banks.profile(image.embed(start, place), place).numbers[0, ENTROPY])
        entropies.append(row)
    costs = costs_of(tower)
    cost = float(costs[exits].mean())
    return Equal(cost, nearest_exit(tower, cost), fit_thresholds(np.array(entropies, dtype=np.float32), costs, cost))
