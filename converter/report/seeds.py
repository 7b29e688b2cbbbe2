"""Several builds of one recipe that differ in their seed: mean and spread of what they measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from converter.recipe import Recipe
from converter.report.figures import PolicyName, Pool, Recall, Report
from converter.report.shares import COSTS, at_cost, point_kept, points_of, pool_kept, shown_pool
from edge.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean over the seeds, sample standard deviation, smallest and largest."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedExit:
    """One exit over the seeds; None where a seed does not have the number.

    before: recall@10 on the trunk as published; gain: recall@10 by healing; the other recalls as the bundle ranks
    """

    depth: int
    share: Spread
    ms: Spread
    before: Spread | None
    recall_at_1: Spread | None
    recall_at_10: Spread | None
    gain: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPool:
    """Shares of full recall@1 and recall@10 that one fixed exit and a pool keep, ranked as the bundle ranks."""

    depth: int
    pool: int
    at_1: Spread | None
    at_10: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPolicy:
    """Shares that a policy keeps at a cost, along straight lines between its settings; None outside of them."""

    policy: PolicyName
    pool: int
    cost: float
    at_1: Spread | None
    at_10: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTable:
    """The same recipe with several seeds, in rising order. calibration: ECE, Brier skill and gain by name."""

    model: str
    seeds: tuple[int, ...]
    exits: tuple[SeedExit, ...]
    pools: tuple[SeedPool, ...]
    policies: tuple[SeedPolicy, ...]
    calibration: tuple[tuple[str, Spread], ...]


def recipe_digest(recipe: Recipe) -> str:
    """SHA-256 of everything in a recipe but its seed: equal for builds that may be combined."""
    said = dataclasses.asdict(recipe)
    del said["seed"]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def combine(reports: Sequence[Report]) -> SeedTable:
    """Mean and spread over two or more reports. Raises UsageError where they are not one recipe with several seeds."""
    _check(reports)
    ordered = sorted(reports, key=lambda report: report.seed)
    first = ordered[0]
    return SeedTable(
        model=first.model,
        seeds=tuple(report.seed for report in ordered),
        exits=tuple(_exit(ordered, index) for index in range(len(first.exits))),
        pools=tuple(_pool(ordered, index, pool.pool) for index, place in enumerate(first.exits) for pool in place.kept),
        policies=tuple(_policy(ordered, curve.name, cost) for curve in first.policies for cost in COSTS),
        calibration=_calibration(ordered),
    )


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of numbers that every seed has; None when one has not."""
    found = list(values)
    known = [value for value in found if value is not None]
    if not known or len(known) < len(found):
        return None
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return Spread(mean=statistics.fmean(known), deviation=deviation, low=min(known), high=max(known))


_EQUAL: tuple[tuple[str, Callable[[Report], Any]], ...] = (
    ("models", lambda report: report.model),
    ("recipes", lambda report: report.recipe),
    ("data", lambda report: report.data.digest if report.data is not None else "none"),
    ("exits", lambda report: ", ".join(str(place.depth) for place in report.exits)),
)


def _check(reports: Sequence[Report]) -> None:
    if len(reports) < 2:
        raise UsageError(f"{len(reports)} reports: two or more are needed for a spread over seeds")
    for name, of in _EQUAL:
        if len(different := list(dict.fromkeys(of(report) for report in reports))) > 1:
            raise UsageError(
                f"the reports are of different {name} ({'; '.join(different)}): only builds of one recipe on the same"
                " data, with different seeds, can be combined"
            )
    seeds = [report.seed for report in reports]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise UsageError(f"two reports have seed {twice[0]}: each seed counts once, leave one of them out")


def _known(values: Iterable[float]) -> Spread:
    found = spread(values)
    assert found is not None  # noqa: S101 - every report has this number
    return found


def _exit(reports: Sequence[Report], index: int) -> SeedExit:
    places = [report.exits[index] for report in reports]
    best = [place.calibrated or place.raw for place in places]
    return SeedExit(
        depth=places[0].depth,
        share=_known(place.share for place in places),
        ms=_known(place.ms for place in places),
        before=spread(place.before.at_10 if place.before else None for place in places),
        recall_at_1=spread(found.at_1 if found else None for found in best),
        recall_at_10=spread(found.at_10 if found else None for found in best),
        gain=spread(_gain(place.before, place.raw) for place in places),
    )


def _gain(before: Recall | None, after: Recall | None) -> float | None:
    return after.at_10 - before.at_10 if before is not None and after is not None else None


def _pool(reports: Sequence[Report], index: int, size: int) -> SeedPool:
    shares = [_pool_share(report, report.exits[index].kept, size) for report in reports]
    ones, tens = zip(*shares, strict=True)
    return SeedPool(depth=reports[0].exits[index].depth, pool=size, at_1=spread(ones), at_10=spread(tens))


def _pool_share(report: Report, pools: Sequence[Pool], size: int) -> tuple[float | None, float | None]:
    calibrated = report.exits[-1].calibrated is not None
    found = (pool_kept(report, pool, calibrated=calibrated) for pool in pools if pool.pool == size)
    return next(found, (None, None))


def _policy(reports: Sequence[Report], name: PolicyName, cost: float) -> SeedPolicy:
    at_1, at_10 = (spread(_policy_share(report, name, cost, index) for report in reports) for index in (0, 1))
    return SeedPolicy(policy=name, pool=shown_pool(reports[0]), cost=cost, at_1=at_1, at_10=at_10)


def _policy_share(report: Report, name: PolicyName, cost: float, index: int) -> float | None:
    found = [point for curve in report.policies if curve.name == name for point in points_of(report, curve)]
    return at_cost([(point.cost, point_kept(report, point)[index]) for point in found], cost)


def _calibration(reports: Sequence[Report]) -> tuple[tuple[str, Spread], ...]:
    found = [report.calibration for report in reports]
    numbers = {
        "ECE": spread(one.ece if one else None for one in found),
        "Brier skill": spread(one.brier_skill if one else None for one in found),
        "gain in full recall@1": spread(one.gain if one else None for one in found),
    }
    return tuple((name, value) for name, value in numbers.items() if value is not None)
