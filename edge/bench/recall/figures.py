"""The benchmark's figures: plain data, as its JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bench.recall.baselines import Way
from edge.bench.recall.cutoff import Cutoff
from edge.bench.recall.device import Kept
from edge.bench.recall.judging import Recall
from edge.power import Kind

TITLES: Mapping[str, str] = {
    "single": "one full-depth query",
    "naive": "naive merge, not calibrated",
    "calibrated": "calibrated merge (Reminisce)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """What one memory keeps of the photos.

    exits:  share of them by the depth where they left; cost: mean share of full depth's milliseconds
    same:   share of the questions asked of the device whose ten hits were those that the recalls are counted from
    fill_s: seconds to remember the photos, decoding and writing included
    """

    kept: Kept
    exits: Mapping[int, float]
    cost: float
    same: float
    fill_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Recall of one way to search one memory with `pool` finished; 0: coarse only."""

    kept: Kept
    way: Way
    pool: int
    recall: Recall


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of a warm question, asked in turn with those of all other rows, and its joules above the idle board.

    p50_ms, p95_ms: until the client has its answer, through MQTT where there is a broker
    device_ms:      (p50, p95) that the device says it took
    energy_j:       with the idle board where that was not measured; None without a meter
    """

    kept: Kept
    way: Way
    pool: int
    items: int
    p50_ms: float
    p95_ms: float
    device_ms: tuple[float, float]
    energy_j: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """One memory of so many items in a process of its own.

    agreement:    share of the ten best that an exact search over all rows finds, too
    open_ms:      until it can be asked; cold_ms: its first question, which opens the files
    coarse, fine: (p50, p95) milliseconds while it remembers photos as fast as it can, `items_per_s` of them
    anonymous_mb: most anonymous memory before that; resident_mb: VmHWM, which counts mapped files, too
    """

    kept: Kept
    items: int
    agreement: float
    open_ms: float
    cold_ms: float
    coarse_ms: tuple[float, float]
    fine_ms: tuple[float, float]
    items_per_s: float
    anonymous_mb: float
    resident_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Questions that say `deadline_ms`.

    p50_ms, p95_ms: of their answers; refined: photos that were finished for one, mean
    recall:         over all captions, with as many of each pool finished as these questions had finished
    """

    kept: Kept
    deadline_ms: int
    p50_ms: float
    p95_ms: float
    refined: float
    recall: Recall


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole benchmark. said: what it was measured with and on, in words, a line each."""

    model: str
    photos: int
    said: Sequence[str]
    energy_kind: Kind
    memories: Sequence[Memories]
    found: Sequence[Found]
    timings: Sequence[Timing]
    visits: Sequence[Visited]
    curve: Sequence[Point]
    cutoffs: Sequence[Cutoff] = ()  # none where nothing is calibrated, and of reports of before

    @property
    def full(self) -> Recall:
        """Of everything at full depth."""
        return self.of("full", "calibrated", 0)

    def of(self, kept: Kept, way: Way, pool: int) -> Recall:
        """Raises KeyError where that was not measured."""
        for one in self.found:
            if (one.kept, one.way, one.pool) == (kept, way, pool):
                return one.recall
        raise KeyError((kept, way, pool))

    def timing(self, kept: Kept, pool: int, items: int) -> Timing:
        """Of our own search. Raises KeyError where that was not measured."""
        for one in self.timings:
            if (one.kept, one.way, one.pool, one.items) == (kept, "calibrated", pool, items):
                return one
        raise KeyError((kept, pool, items))


def percentiles(milliseconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p95."""
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return float(p50), float(p95)
