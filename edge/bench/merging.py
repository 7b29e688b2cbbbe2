"""Merging of several runs of `bench recall` on bundles of one model, as of several seeds: the mean, and each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge.bench.recall.device import POOL
from edge.bench.recall.figures import Report
from edge.bench.recall.judging import Recall
from edge.bench.recall.table import NAMES, search


def merging(runs: Sequence[Report]) -> Iterator[str]:
    """Lines of a table: each memory and search that all runs have, as the first one orders them."""
    yield f"{len(runs)} runs of {runs[0].model}: mean (each), coarse and with the best {POOL} finished"
    yield ""
    titles = ("memory", "of full depth's ms", "search", "R@1, coarse", "R@10, coarse", "R@1", "R@10", "of full R@1")
    yield _line(*titles, "of full R@10")
    yield _line(*["---"] * (len(titles) + 1))
    full = [run.full for run in runs]
    yield _line(NAMES["full"], "100%", "exact", "-", "-", _each(full, _at_1), _each(full, _at_10), "100%", "100%")
    for one in runs[0].found:
        if one.pool or one.kept == "full":
            continue
        try:
            coarse = [run.of(one.kept, one.way, 0) for run in runs]
            fine = [run.of(one.kept, one.way, POOL) for run in runs]
        except KeyError:  # a fixed exit: in another run it may be the first one that costs as much as the policy
            continue
        costs = [next(memory.cost for memory in run.memories if memory.kept == one.kept) for run in runs]
        yield _line(
            NAMES[one.kept],
            _shares(costs),
            search(one),
            *(_each(found, at) for found in (coarse, fine) for at in (_at_1, _at_10)),
            *(_shares([at(own) / at(whole) for own, whole in zip(fine, full, strict=True)]) for at in (_at_1, _at_10)),
        )


def _at_1(found: Recall) -> float:
    return found.at_1


def _at_10(found: Recall) -> float:
    return found.at_10


def _each(found: Sequence[Recall], at: Callable[[Recall], float]) -> str:
    values = [at(one) for one in found]
    return f"{sum(values) / len(values):.3f} ({' '.join(f'{value:.3f}' for value in values)})"


def _shares(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1%} ({' '.join(f'{100 * value:.1f}' for value in values)})"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
