"""Items and queries with known structure: a hidden place in space for each item, read less noisily at deeper exits."""

from __future__ import annotations

import numpy as np

from converter.labels import Scored
from edge.items import Floats

NOISE = (1.6, 1.0, 0.5)  # of an item's embedding at each exit, beside a hidden place of length 1


def unit(x: Floats) -> Floats:
    made: Floats = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    return made


def gallery(seed: int, items: int = 200, most: int = 3, width: int = 16) -> Scored:
    """Every item has 1 to `most` queries."""
    random = np.random.default_rng(seed)

    def near(place: Floats, noise: float, *shape: int) -> Floats:
        return unit(place + noise * unit(random.normal(size=(*shape, width)).astype(np.float32)))

    hidden = unit(random.normal(size=(items, width)).astype(np.float32))
    asked = near(hidden[:, None], 0.9, items, most)
    known = np.arange(most)[None, :] < random.integers(1, most + 1, items)[:, None]
    return Scored(
        items=np.stack([near(hidden, noise, items) for noise in NOISE]),
        queries=np.stack([asked] * len(NOISE)),
        known=known,
        numbers=np.arange(items),
    )


def stock(seed: int, rows: int = 60, width: int = 16) -> Floats:
    """Bank rows that belong to no item."""
    return unit(np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32))
