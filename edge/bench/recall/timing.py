"""Milliseconds and joules of warm questions, each of which goes through every row in turn: noise hits all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from tqdm import tqdm

from edge.bench.recall.device import Job, Towers, open_device
from edge.bench.recall.figures import Timing, percentiles
from edge.power import Kind, Ledger, Sampler, Spent

_WARM = 2  # questions that are not counted


def time_rows(
    jobs: Sequence[Job], towers: Towers, pools: Sequence[int], texts: Sequence[str]
) -> tuple[list[Timing], Kind]:
    """A row for each memory and pool, one alone where everything is at full depth; and the kind of its joules."""
    keys = [(job.kept, pool) for job in jobs for pool in (pools if job.kept != "full" else pools[:1])]
    ledger = Ledger(tuple(f"{kept} {pool}" for kept, pool in keys))
    spent: dict[str, list[float]] = {f"{kept} {pool}": [] for kept, pool in keys}
    with ExitStack() as stack:
        devices = {job.kept: stack.enter_context(open_device(job, towers)) for job in jobs}
        items = {kept: device.filtering.refresh() for kept, device in devices.items()}
        bar = tqdm(texts, f"questions over {max(items.values()):,} items", unit=" questions", leave=False, disable=None)
        for text in texts[:_WARM]:
            for kept, pool in keys:
                devices[kept].ask(f"{text}.", pool)
        sampler = stack.enter_context(Sampler(jobs[0].config.power, ledger))
        for turn, text in enumerate(bar):
            first = turn % len(keys)
            for kept, pool in keys[first:] + keys[:first]:
                row = f"{kept} {pool}"
                with ledger.during(row):
                    start = time.perf_counter()
                    devices[kept].ask(text, pool)
                    spent[row].append((time.perf_counter() - start) * 1e3)
                ledger.count(row)
        kind = sampler.now().kind
    joules = ledger.spent(kind) if kind != "none" else {}
    made: list[Timing] = []
    for kept, pool in keys:
        p50, p95 = percentiles(spent[f"{kept} {pool}"])
        each = joules.get(f"{kept} {pool}", Spent())
        energy_j = each.gross_j_each if each.net_j_each is None else each.net_j_each
        made.append(Timing(kept=kept, pool=pool, items=items[kept], p50_ms=p50, p95_ms=p95, energy_j=energy_j))
    return made, kind
