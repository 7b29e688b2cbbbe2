"""Recall of what each row stored: the coarse search over its exits, and the best of it finished to full depth.

Source: Reminisce, speculative fine-grained retrieval. Shapes: P items, Q queries, E exits, D the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.bench.remember.worker import Result
from edge.bundle import Exit, Tower
from edge.items import Floats
from edge.runtime import TowerRunner

POOL = 50
_BATCH = 16
Owners = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of queries whose own item is first, or among the first ten, after refinement."""

    at_1: float
    at_10: float


class Judge:
    """Holds every query's embedding at every exit."""

    def __init__(self, text: TowerRunner, items: Tower, captions: Sequence[Sequence[str]]) -> None:
        """`captions` of each item; `text` runs the query tower."""
        self._exits: Mapping[int, Exit] = {place.depth: place for place in items.exits}
        self._last = items.exits[-1].depth
        self._owners: Owners = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
        self._queries = embed_captions(text, items, [caption for own in captions for caption in own])

    def recall(self, coarse: Result, fine: Result) -> Recall:
        """What `coarse` stored, with each query's best POOL as in `fine`, which has every item at full depth."""
        scores = np.empty((len(self._owners), len(coarse.depths)), dtype=np.float32)
        for depth in np.unique(coarse.depths):
            here = coarse.depths == depth
            scores[:, here] = self._scores(int(depth), coarse.embeddings[here], coarse.offsets[here])
        refined = self._scores(self._last, fine.embeddings, fine.offsets)
        size = min(POOL, scores.shape[1])
        pool = np.argpartition(-scores, size - 1, axis=1)[:, :size]
        finished = np.full_like(refined, -np.inf)
        np.put_along_axis(finished, pool, np.take_along_axis(refined, pool, axis=1), axis=1)
        own = finished[np.arange(len(finished)), self._owners]
        ranks = (finished >= own[:, None]).sum(1) - 1  # equal scores count as before it
        found = np.isfinite(own)
        return Recall(float((found & (ranks < 1)).mean()), float((found & (ranks < 10)).mean()))

    def _scores(self, depth: int, embeddings: Floats, offsets: Floats) -> Floats:
        cosines: Floats = self._queries[depth] @ embeddings.T
        calibration = self._exits[depth].calibration
        if calibration is None:
            return cosines
        return np.float32(calibration.cosine) * cosines + offsets


def embed_captions(text: TowerRunner, items: Tower, captions: Sequence[str]) -> dict[int, Floats]:
    """(Q, D) by the depth of the exit that they are for."""
    own = text.spec.exits[-1]
    parts: dict[int, list[Floats]] = {place.depth: [] for place in items.exits}
    for start in tqdm(range(0, len(captions), _BATCH), "captions", unit=" batches", leave=False, disable=None):
        features = text.advance(text.start_texts(captions[start : start + _BATCH]), own.segment)
        for place in items.exits:
            parts[place.depth].append(text.embed(features, replace(own, head=place.query or own.head)))
    return {depth: np.concatenate(found) for depth, found in parts.items()}
