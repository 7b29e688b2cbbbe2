"""The tables of several seeds: mean ± standard deviation, and in brackets the smallest and the largest."""

from __future__ import annotations

from converter.report.figures import MEASURES, Measure
from converter.report.seeds import SeedPolicy, SeedPool, SeedTable, Spread
from converter.report.shares import COSTS
from converter.report.tables import Table
from converter.report.words import NOTHING, TITLES, percent


def all_of(table: SeedTable) -> tuple[Table, ...]:
    """Exits, policies, pools and calibration; those without rows too."""
    of_policies = (policies(table, measure) for measure in MEASURES)
    of_pools = (pools(table, measure) for measure in MEASURES)
    return exits(table), *of_policies, *of_pools, calibration(table)


def exits(table: SeedTable) -> Table:
    """Recall and milliseconds of each exit."""
    return Table(
        caption=f"Each exit, {_over(table)}; before: as published; the gain is by healing; then as the bundle ranks",
        head=("exit", "ms", "of full ms", "recall@10 before", "gain", "recall@1", "recall@10"),
        rows=tuple(
            (
                f"depth {one.depth}",
                _plain(one.ms, 2),
                _percent(one.share),
                _plain(one.before),
                _plain(one.gain),
                _plain(one.recall_at_1),
                _plain(one.recall_at_10),
            )
            for one in table.exits
        ),
    )


def policies(table: SeedTable, measure: Measure) -> Table:
    """What each policy keeps at equal cost."""
    names = dict.fromkeys(one.policy for one in table.policies)
    pool = table.policies[0].pool if table.policies else 0
    cells = {(one.policy, one.cost): _percent(_of(one, measure)) for one in table.policies}
    return Table(
        caption=f"Kept of full {measure} with pool {pool} at equal cost, {_over(table)}",
        head=("policy", *(percent(cost, 0) for cost in COSTS)),
        rows=tuple((TITLES[name], *(cells[name, cost] for cost in COSTS)) for name in names),
    )


def pools(table: SeedTable, measure: Measure) -> Table:
    """What one fixed exit keeps with each pool."""
    sizes = sorted({one.pool for one in table.pools})
    cells = {(one.depth, one.pool): _percent(_of(one, measure)) for one in table.pools}
    depths = dict.fromkeys(one.depth for one in table.pools)
    return Table(
        caption=f"Kept of full {measure} by one fixed exit, {_over(table)}",
        head=("exit", *(f"pool {size}" for size in sizes)),
        rows=tuple((f"depth {depth}", *(cells.get((depth, size), NOTHING) for size in sizes)) for depth in depths),
    )


def _of(one: SeedPool | SeedPolicy, measure: Measure) -> Spread | None:
    return one.at_1 if measure == "recall@1" else one.at_10


def calibration(table: SeedTable) -> Table:
    """ECE and Brier skill."""
    return Table(
        caption=f"Calibration, {_over(table)}",
        head=("what", "mean ± spread", "smallest to largest"),
        rows=tuple(
            (name, f"{one.mean:.4f} ± {one.deviation:.4f}", f"{one.low:.4f} to {one.high:.4f}")
            for name, one in table.calibration
        ),
    )


def _over(table: SeedTable) -> str:
    return f"mean ± standard deviation [smallest, largest] over {len(table.seeds)} seeds"


def _plain(found: Spread | None, digits: int = 3) -> str:
    if found is None:
        return NOTHING
    low, high = f"{found.low:.{digits}f}", f"{found.high:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.deviation:.{digits}f} [{low}, {high}]"


def _percent(found: Spread | None) -> str:
    if found is None:
        return NOTHING
    mean, deviation, low, high = (100 * value for value in (found.mean, found.deviation, found.low, found.high))
    return f"{mean:.1f} ± {deviation:.1f} % [{low:.1f}, {high:.1f}]"
