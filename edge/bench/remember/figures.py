"""The benchmark's figures, made of what each row took block by block."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bench.remember.recalls import Recall
from edge.bench.remember.rows import FULL, STREAMED_ALONE, Row
from edge.bench.remember.worker import Result, Took
from edge.power import Kind, Spent


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as a baseline: the median over blocks, and the smallest and the largest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFigures:
    """One row.

    items_per_s:     over all blocks; decoding and preprocessing are left out, as everywhere here
    to_full, to_mem: against full depth batched, and against full depth layer-streamed one by one
    allowed:         to_full if nothing but the trunk up to the exits counted, where its items left
    processor_ms:    of all threads, for one item
    outside_share:   of the compute thread's busy time, not inside `invoke`; waiting for the loader is left out
    energy_j:        for one item, by a meter of `energy_kind`; above the idle board if that was measured, else with it
    anonymous_mb:    most anonymous memory; resident_mb: VmHWM, which counts mapped files, too
    exits:           share of items by the depth where they left
    recall:          with the best 50 finished; None where nothing was searched
    """

    name: str
    title: str
    items_per_s: float
    to_full: Ratio
    to_mem: Ratio
    allowed: float
    processor_ms: float
    outside_share: float
    energy_j: float | None
    energy_kind: Kind
    anonymous_mb: float
    resident_mb: float
    exits: Mapping[int, float]
    recall: Recall | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole benchmark. said: what it was measured with and on, in words, a line each."""

    model: str
    items: int
    overhead_only: bool
    said: Sequence[str]
    rows: Sequence[RowFigures]

    def row(self, name: str) -> RowFigures:
        """The row of this name. Raises KeyError."""
        for one in self.rows:
            if one.name == name:
                return one
        raise KeyError(name)


def figures(
    row: Row,
    results: Mapping[str, tuple[Sequence[Took], Result]],
    recall: Recall | None,
    spent: Spent,
    kind: Kind,
    costs: Mapping[int, float],
) -> RowFigures:
    """Of one row, given those of all. costs: of each exit by its depth, shares of full depth's milliseconds."""
    took, result = results[row.name]
    items, busy_s = len(result.depths), sum(one.busy_s - one.waiting_s for one in took)
    depths, counts = np.unique(result.depths, return_counts=True)
    return RowFigures(
        name=row.name,
        title=row.title,
        items_per_s=items / sum(one.wall_s for one in took),
        to_full=_ratio(results[FULL][0], took),
        to_mem=_ratio(results[STREAMED_ALONE][0], took),
        allowed=items / sum(costs[depth] for depth in result.depths.tolist()),
        processor_ms=1e3 * sum(one.processor_s for one in took) / items,
        outside_share=1 - sum(one.invoke_s for one in took) / busy_s,
        energy_j=spent.gross_j_each if spent.net_j_each is None else spent.net_j_each,
        energy_kind=kind,
        anonymous_mb=result.anonymous_bytes / 1e6,
        resident_mb=result.resident_bytes / 1e6,
        exits={int(depth): float(count) / items for depth, count in zip(depths, counts, strict=True)},
        recall=recall,
    )


def _ratio(baseline: Sequence[Took], took: Sequence[Took]) -> Ratio:
    each = [slow.wall_s / fast.wall_s for slow, fast in zip(baseline, took, strict=True)]
    return Ratio(statistics.median(each), min(each), max(each))
