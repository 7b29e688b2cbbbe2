"""Distractors: embeddings that no photo has, spread like those of real photos at each exit. SYNTHETIC, and said so.

Shapes: N items, D the shared space. All tensors float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bank import Banks
from edge.bundle import Exit
from edge.items import Arrival, Embedded, Floats
from edge.memory import Memory
from edge.runtime import TowerRunner

SEED = 20251125
SOURCE = "synthetic"
_BATCH = 16
_GROUP = 1_000  # of a commit
_LEAST = 1e-6  # variance; of a dimension in which the photos do not differ


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """A Gaussian at one exit: (D,) mean, and (D, D) factor of its covariance."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, embeddings: Floats) -> Cloud:
        """Fitted on (N, D), the covariance shrunk towards its diagonal by D / (N + D): few items do not tell it."""
        count, dimension = embeddings.shape
        mean = embeddings.mean(0)
        apart = embeddings - mean
        covariance = apart.T @ apart / max(1, count - 1)
        kept = count / (count + dimension)
        shrunk = kept * covariance + np.diag((1 - kept) * np.diag(covariance) + _LEAST)
        return cls(mean, np.linalg.cholesky(shrunk.astype(np.float64)).astype(np.float32))

    def sample(self, count: int, chance: np.random.Generator) -> Floats:
        """(count, D) of unit L2 norm."""
        points = self.mean + chance.standard_normal((count, len(self.mean)), dtype=np.float32) @ self.factor.T
        made: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
        return made


def fit(image: TowerRunner, photos: Sequence[Path]) -> Mapping[int, Cloud]:
    """A cloud for each exit, by depth. Raises UnreadableItemError."""
    parts: dict[int, list[Floats]] = {place.depth: [] for place in image.spec.exits}
    bar = tqdm(range(0, len(photos), _BATCH), "fitting distractors", unit=" batches", leave=False, disable=None)
    for start in bar:
        batch = image.start_images([photo.read_bytes() for photo in photos[start : start + _BATCH]])
        for place in image.spec.exits:
            batch = image.advance(batch, place.segment)
            parts[place.depth].append(image.embed(batch, place))
    return {depth: Cloud.of(np.concatenate(found)) for depth, found in parts.items()}


def grow(
    memory: Memory, total: int, photos: int, clouds: Mapping[int, Cloud], exits: Sequence[Exit], banks: Banks
) -> None:
    """Distractors, until the memory has `total` items. Nothing else may wait. Raises DiskFullError or StoreError.

    The first `photos` ids are real. Each distractor lies at the exit of the one that `lender` names, so that they are
    spread over the exits as the photos are.
    """
    depths = {item: part.depth for part in memory.partitions() for item in part.ids.tolist()}
    places = {place.depth: place for place in exits}
    missing = total - memory.tally.items
    chance = np.random.default_rng(SEED + memory.tally.items)
    bar = tqdm(range(0, missing, _GROUP), f"growing to {total:,} items", unit=" commits", leave=False, disable=None)
    for start in bar:
        memory.accept(
            [
                _arrival(f"{SOURCE} {memory.tally.items + row}".encode(), SOURCE)
                for row in range(min(_GROUP, missing - start))
            ]
        )
        ids = np.array([item.id for item in memory.waiting(_GROUP)])
        lent = np.array([depths[lender(number, photos)] for number in ids.tolist()])
        for depth in np.unique(lent).tolist():
            rows = clouds[depth].sample(int((lent == depth).sum()), chance)
            offsets = banks.offsets(rows, places[depth]).tolist()
            found = zip(ids[lent == depth].tolist(), rows, offsets, strict=True)
            memory.index(
                [Embedded(item=item, depth=depth, embedding=row, offset=offset) for item, row, offset in found]
            )


def lender(item: int, photos: int) -> int:
    """The id of the photo whose exit and activation an item without a picture uses."""
    return 1 + item % photos


def arrival(photo: Path, tail: bytes = b"") -> Arrival:
    """A photo with some bytes behind its end."""
    return _arrival(photo.read_bytes() + tail, str(photo))


def _arrival(content: bytes, source: str) -> Arrival:
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="image", source=source, taken_at=None)
