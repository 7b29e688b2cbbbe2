"""What the compared memories keep: the same photos at full depth, by the bundle's policy, mixed, and at one exit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bench.recall.crowd import arrival
from edge.bench.recall.device import Device, Kept
from edge.bench.recall.judging import Stored
from edge.bench.remember.fitting import costs_of, nearest_exit
from edge.bundle import Tower
from edge.errors import UsageError
from edge.pairs import Pair
from edge.recall import Candidate, Granularities
from edge.runtime import TowerRunner

KEPT: tuple[Kept, ...] = ("full", "default", "mixed")
_LEAST, _EXITS = 0.12, 3  # shares so large that a deal of 1,000 photos leaves no exit below a tenth
_ITEM_BYTES, _PHOTOS_BYTES = 8_000, 200_000_000  # of a memory: a row, its index and a file of one block; and of photos
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of ours inside


def mixed_shares(tower: Tower) -> tuple[float, ...]:
    """(E,) of the cheapest setting by which three exits hold a tenth of the items each; without one, equal shares.

    It was measured on validation items when the bundle was made.
    """
    settings = tower.policies.settings if tower.policies else ()
    mixed = [one for one in settings if sum(share >= _LEAST for share in one.exits) >= _EXITS]
    if not mixed:
        return (1 / len(tower.exits),) * len(tower.exits)
    return min(mixed, key=lambda one: one.cost).exits


def cost_of(tower: Tower, exits: Mapping[int, float]) -> float:
    """Mean share of full depth's milliseconds, of shares of items by the depth where they left."""
    costs = dict(zip((place.depth for place in tower.exits), costs_of(tower).tolist(), strict=True))
    return float(sum(costs[depth] * share for depth, share in exits.items()))


def fixed_exits(tower: Tower, cost: float) -> Mapping[Kept, tuple[float, ...]]:
    """(E,) shares by which all items leave at one exit: the first, and the one whose cost is nearest to `cost`.

    One alone where the two are the same.
    """
    deals = [tuple(map(float, row)) for row in np.eye(len(tower.exits))]
    equal = nearest_exit(tower, cost)
    return {"first": deals[0], "equal": deals[equal]} if equal else {"equal": deals[0]}


def fill(device: Device, text: TowerRunner, pairs: Sequence[Pair]) -> tuple[Stored, float]:
    """Let it remember the photos; what it keeps of them then, and the seconds that it took.

    Raises UnreadableItemError, StoreError, UsageError.
    """
    verdicts = device.memory.accept([arrival(pair.photo) for pair in pairs])
    if any(verdict.state != "accepted" for verdict in verdicts):
        raise UsageError("the photos of the dev split must differ")
    start = time.monotonic()
    with tqdm(
        total=len(pairs), desc=f"remembering, {device.job.kept}", unit=" photos", leave=False, disable=None
    ) as bar:
        while done := device.intake.remember_group():
            bar.update(done)
    took_s = time.monotonic() - start
    return _stored(device, text), took_s


def _stored(device: Device, text: TowerRunner) -> Stored:
    """By rising id, which is the order of the photos."""
    parts = device.memory.partitions()
    order = np.argsort(np.concatenate([part.ids for part in parts]))
    depths = np.concatenate([np.full(len(part.ids), part.depth) for part in parts])[order]
    embeddings = np.concatenate([part.embeddings for part in parts])[order]
    offsets = np.concatenate([part.offsets for part in parts])[order]
    last = device.spec.exits[-1].depth
    coarse = [Candidate(row + 1, int(depth), 0.0, 0.0) for row, depth in enumerate(depths) if depth != last]
    fine, fine_offsets = embeddings.copy(), offsets.copy()
    for one in device.finish(Granularities(text, device.spec, "anything"), coarse):
        fine[one.item - 1], fine_offsets[one.item - 1] = one.embedding, one.offset
    return Stored(depths, embeddings, offsets, fine, fine_offsets)


def place_for(items: int) -> Path | None:
    """Where so many items in each memory are written fast: in RAM, if it has room; None: where temporary files are."""
    needed = len(KEPT) * (items * _ITEM_BYTES + _PHOTOS_BYTES) + _PHOTOS_BYTES  # one at a fixed exit, before they grow
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > needed else None
