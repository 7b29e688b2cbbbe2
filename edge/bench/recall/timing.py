"""Milliseconds and joules of warm questions, each of which goes through every row in turn: noise hits all alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from tqdm import tqdm

from edge.bench.recall.asking import Ask, open_asking
from edge.bench.recall.baselines import Way
from edge.bench.recall.device import Job, Kept, Towers, open_device
from edge.bench.recall.figures import Timing, percentiles
from edge.config import MqttConfig
from edge.power import Kind, Ledger, Sampler, Spent

_WARM = 2  # questions that are not counted


@dataclass(frozen=True, slots=True)
class _Row:
    kept: Kept
    way: Way
    pool: int

    @property
    def name(self) -> str:
        return f"{self.kept} {self.way} {self.pool}"


def time_rows(
    jobs: Sequence[Job], towers: Towers, pools: Sequence[int], texts: Sequence[str], mqtt: MqttConfig | None
) -> tuple[list[Timing], Kind]:
    """A row for each memory and pool, and for each baseline's search; and the kind of their joules."""
    rows = [row for job in jobs for row in _rows_of(job.kept, pools)]
    ledger = Ledger(tuple(row.name for row in rows))
    spent: dict[_Row, list[tuple[float, float]]] = {row: [] for row in rows}
    with ExitStack() as stack:
        devices = {job.kept: stack.enter_context(open_device(job, towers)) for job in jobs}
        items = {kept: device.filtering.refresh() for kept, device in devices.items()}
        asking = stack.enter_context(open_asking(mqtt, towers.failures.append))
        bar = tqdm(texts, f"questions over {max(items.values()):,} items", unit=" questions", leave=False, disable=None)
        for text in texts[:_WARM]:
            for row in rows:
                asking.ask(devices[row.kept], Ask(f"{text}.", row.pool, row.way))
        sampler = stack.enter_context(Sampler(jobs[0].config.power, ledger))
        for turn, text in enumerate(bar):
            first = turn % len(rows)
            for row in rows[first:] + rows[:first]:
                with ledger.during(row.name):
                    told = asking.ask(devices[row.kept], Ask(text, row.pool, row.way))
                spent[row].append((told.total_ms, told.device_ms))
                ledger.count(row.name)
        kind = sampler.now().kind
    joules = ledger.spent(kind) if kind != "none" else {}
    return [_timing(row, items[row.kept], spent[row], joules.get(row.name, Spent())) for row in rows], kind


def _rows_of(kept: Kept, pools: Sequence[int]) -> Iterator[_Row]:
    """One alone where everything is at full depth: there is nothing to merge, nor to finish."""
    ours = _Row(kept, "calibrated", 0)
    if kept == "full":
        yield ours
        return
    yield replace(ours, way="single")
    yield replace(ours, way="naive")
    yield from (replace(ours, pool=pool) for pool in pools)


def _timing(row: _Row, items: int, spent: Sequence[tuple[float, float]], joules: Spent) -> Timing:
    (p50, p95), device_ms = (percentiles(each) for each in zip(*spent, strict=True))
    return Timing(
        kept=row.kept,
        way=row.way,
        pool=row.pool,
        items=items,
        p50_ms=p50,
        p95_ms=p95,
        device_ms=device_ms,
        energy_j=joules.gross_j_each if joules.net_j_each is None else joules.net_j_each,
    )
