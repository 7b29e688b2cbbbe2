"""What the figures say of each other: shares of full depth, and policies at equal cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from converter.report.figures import PolicyCurve, PolicyName, PolicyPoint, Pool, Recall, Report

COSTS = (0.3, 0.4, 0.5, 0.6, 0.75)  # where policies are compared
_POOL = 50
_COST = 0.5


def full(report: Report, *, calibrated: bool = True) -> Recall | None:
    """Recall of full depth, ranked as the policies are: calibrated where the bundle is, unless raw is wanted."""
    last = report.exits[-1]
    return (last.calibrated if calibrated else None) or last.raw


def kept(part: float, whole: float) -> float | None:
    """The share of `whole` that is kept; None where there is nothing to keep."""
    return part / whole if whole > 0 else None


def point_kept(report: Report, point: PolicyPoint) -> tuple[float | None, float | None]:
    """Shares of full recall@1 and recall@10."""
    whole = full(report)
    if whole is None:
        return None, None
    return kept(point.recall_at_1, whole.at_1), kept(point.recall_at_10, whole.at_10)


def pool_kept(report: Report, pool: Pool, *, calibrated: bool) -> tuple[float | None, float | None]:
    """Shares of full recall@1 and recall@10, numerator and denominator ranked the same way."""
    part = pool.calibrated if calibrated else pool.raw
    whole = full(report, calibrated=calibrated)
    if part is None or whole is None:
        return None, None
    return kept(part.at_1, whole.at_1), kept(part.at_10, whole.at_10)


def shown_pool(report: Report) -> int:
    """The pool that curves are shown for: the default's, or the one nearest to 50 of those that were measured."""
    if report.choice is not None:
        return report.choice.pool
    pools = {point.pool for curve in report.policies for point in curve.points}
    return min(sorted(pools), key=lambda pool: abs(pool - _POOL), default=_POOL)


def shown_cost(report: Report) -> float:
    """The cost at which policies are looked at closely: the default's."""
    return report.choice.cost if report.choice is not None else _COST


def points_of(report: Report, curve: PolicyCurve) -> list[PolicyPoint]:
    """Its settings at the shown pool, cheap to dear."""
    pool = shown_pool(report)
    return sorted((point for point in curve.points if point.pool == pool), key=lambda point: point.cost)


def nearest(report: Report, name: PolicyName) -> PolicyPoint | None:
    """The setting of a policy at the shown pool whose cost is nearest to the shown one."""
    points = [point for curve in report.policies if curve.name == name for point in points_of(report, curve)]
    return min(points, key=lambda point: abs(point.cost - shown_cost(report)), default=None)


def at_cost(points: Sequence[tuple[float, float | None]], cost: float) -> float | None:
    """(cost, value) pairs read at a cost between two of them, along the straight line; None outside."""
    for (low, below), (high, above) in itertools.pairwise(points):
        if low <= cost <= high and below is not None and above is not None:
            return below + (above - below) * (cost - low) / (high - low) if high > low else above
    return next((value for place, value in points if place == cost), None)
