"""A memory of very many items within seconds: real rows, files and index, of embeddings that no tower made."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge.bundle import Bundle
from edge.memory import Memory
from edge.memory.cache.catalogue import FOLDERS, Kept
from edge.memory.cache.worth import Worth
from feeds import remember

SHARES = (0.6, 0.2, 0.1, 0.1)  # of the items, at exits from shallow to deep
SEALED = 0.9  # of each exit's items; the others came since, about as many as are not sealed so far at the most
ACTIVATION_BYTES = 22_500


def populate(state: Path, bundle: Bundle, pictures: list[Path], items: int, cached: int = 0) -> None:
    """Make a state folder as a daemon leaves it that has remembered `items` pictures with this bundle.

    cached: how many have an activation, by its name: the file is empty
    """
    random = np.random.default_rng(1)
    scales = {
        place.depth: place.calibration.cosine if place.calibration else 1.0
        for place in bundle.manifest.tower("image").exits
    }
    ids: list[int] = []
    with Memory(state, bundle.fingerprint) as memory:
        for share in (SEALED, 1 - SEALED):
            for depth, of_exit in zip(sorted(scales), SHARES, strict=True):
                rows = random.standard_normal((round(items * share * of_exit), bundle.manifest.dimension), np.float32)
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
                ids += remember(memory, rows, depth, random.normal(-6, 1, len(rows)))
            if share == SEALED:
                memory.open_index("image", scales, items + 1)  # writes what is there by now
    _link_content(state / "content", pictures, ids)
    _touch_activations(state / "activations", bundle, ids[:cached])


def _link_content(folder: Path, pictures: list[Path], ids: Iterable[int]) -> None:
    """A file of each item's digest, see feeds.py; a picture's bytes lie on the disk once."""
    originals = [Path(shutil.copy(picture, folder.parent)) for picture in pictures]
    for number in range(256):
        (folder / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
    for item, original in zip(ids, itertools.cycle(originals)):
        name = hashlib.sha256(str(item).encode()).hexdigest()
        os.link(original, folder / name[:2] / name)
    for original in originals:
        original.unlink()


def _touch_activations(folder: Path, bundle: Bundle, ids: Iterable[int]) -> None:
    """Of a start's work, their names are all."""
    made_by = bundle.manifest.segment_hashes(bundle.manifest.tower("image"))[1]
    folder.mkdir(mode=0o700)
    for number in range(FOLDERS):
        (folder / f"{number:02x}").mkdir(mode=0o700)
    for item in ids:
        kept = Kept.of(item, 1, made_by, ACTIVATION_BYTES, Worth(recompute_ms=40, seen_at=1.7e9 + item))
        (folder / kept.folder / kept.name).touch()
