"""The tables of a report, once for the page and the terminal. Every number that a plot shows stands in one of them."""

from __future__ import annotations

from dataclasses import dataclass

from converter.report.figures import ExitFigures, PolicyCurve, Report
from converter.report.shares import (
    COSTS,
    at_cost,
    kept,
    nearest,
    point_kept,
    points_of,
    pool_kept,
    shown_cost,
    shown_pool,
)
from converter.report.words import NOTHING, TITLES, duration, number, pair, percent, recall, signed, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A caption that says what the numbers are, a head, and rows whose first cell names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def exit_name(place: ExitFigures) -> str:
    """How an exit is called in every table."""
    return f"depth {place.depth} of {place.layers}"


def recalls(report: Report) -> Table:
    """Recall of each exit before and after healing, and calibrated."""
    return Table(
        caption="Recall@1 / 5 / 10 of all items ranked at one exit; the gain is of recall@10 by healing",
        head=("exit", "before healing", "by cosine", "calibrated", "gain"),
        rows=tuple(
            (exit_name(place), recall(place.before), recall(place.raw), recall(place.calibrated), _gain(place))
            for place in report.exits
            if place.raw is not None
        ),
    )


def _gain(place: ExitFigures) -> str:
    if place.before is None or place.raw is None:
        return NOTHING
    return signed(place.raw.at_10 - place.before.at_10)


def costs(report: Report) -> Table:
    """Milliseconds of each exit."""
    return Table(
        caption=(
            f"What one item's trunk costs up to an exit ({report.machine.timing}), and how many leave there by default"
        ),
        head=("exit", "layers", "ms", "of full ms", "ms in float32", "items that leave"),
        rows=tuple(
            (
                exit_name(place),
                percent(place.depth / place.layers),
                number(place.ms, 2),
                percent(place.share),
                number(place.float32_ms, 2),
                percent(place.occupancy),
            )
            for place in report.exits
        ),
    )


def at_equal_cost(report: Report) -> Table:
    """Every policy at the same costs, along straight lines between its measured settings."""
    return Table(
        caption=(
            f"Kept of full recall@1 / recall@10 with pool {shown_pool(report)}, at equal cost; between measured"
            f" settings along a straight line, {NOTHING} outside of them"
        ),
        head=("policy", *(percent(cost, 0) for cost in COSTS)),
        rows=tuple((TITLES[curve.name], *_along(report, curve)) for curve in report.policies) + _raw_row(report),
    )


def _along(report: Report, curve: PolicyCurve) -> tuple[str, ...]:
    points = [(point.cost, point_kept(report, point)) for point in points_of(report, curve)]
    return tuple(
        pair((at_cost([(x, y[0]) for x, y in points], cost), at_cost([(x, y[1]) for x, y in points], cost)))
        for cost in COSTS
    )


def raw_fixed(report: Report) -> list[tuple[float, tuple[float | None, float | None]]]:
    """(cost, kept) of each exit at the shown pool, ranked by raw cosine: the fixed exit without calibration."""
    pool = shown_pool(report)
    return [
        (place.share, pool_kept(report, found, calibrated=False))
        for place in report.exits
        for found in place.kept
        if found.pool == pool
    ]


def _raw_row(report: Report) -> tuple[tuple[str, ...], ...]:
    points = raw_fixed(report)
    if report.calibration is None or not points:
        return ()
    ones, tens = ([(cost, shares[index]) for cost, shares in points] for index in (0, 1))
    return (("fixed exit, not calibrated", *(pair((at_cost(ones, cost), at_cost(tens, cost))) for cost in COSTS)),)


def differences(report: Report) -> Table:
    """Each policy against the calibrated fixed exit."""
    found = report.choice.differences if report.choice is not None else ()
    measured_on = report.choice.chosen_on if report.choice is not None else ""
    return Table(
        caption=f"Against the calibrated fixed exit at equal milliseconds, paired bootstrap over {measured_on}",
        head=("policy", "cost", "pool", "of", "mean", "standard error", "more than two of them"),
        rows=tuple(
            (
                TITLES[one.policy],
                percent(one.cost),
                str(one.pool),
                one.measure,
                signed(one.mean, 4),
                number(one.error, 4),
                "yes" if one.wins else "no",
            )
            for one in found
        ),
    )


def settings(report: Report) -> Table:
    """Every setting of every policy that was measured."""
    return Table(
        caption="Every measured setting: recall, and its share of full depth's",
        head=("policy", "pool", "cost", "recall@1", "recall@10", "kept"),
        rows=tuple(
            (
                TITLES[curve.name],
                str(point.pool),
                percent(point.cost),
                number(point.recall_at_1),
                number(point.recall_at_10),
                pair(point_kept(report, point)),
            )
            for curve in report.policies
            for point in sorted(curve.points, key=lambda point: (point.pool, point.cost))
        ),
    )


def histograms(report: Report) -> Table:
    """Where items leave under each policy, at the setting nearest to the shown cost."""
    found = [(curve.name, nearest(report, curve.name)) for curve in report.policies]
    return Table(
        caption=f"Share of the items that leave at each exit, at the setting nearest to {percent(shown_cost(report))}",
        head=("policy", "cost", *(f"depth {place.depth}" for place in report.exits)),
        rows=tuple(
            (TITLES[name], percent(point.cost), *(percent(share) for share in point.exits))
            for name, point in found
            if point is not None
        ),
    )


def labels(report: Report) -> Table:
    """The first exit that is enough for an item."""
    found = report.labels
    counts = found.counts if found is not None else ()
    total = sum(count.items for count in counts)
    survive = found.survive if found is not None else 0
    return Table(
        caption=f"First exit at which an item is among the best {survive} of 1,000 for its queries",
        head=("exit", "items", "share"),
        rows=tuple(
            (
                "none" if count.depth is None else f"depth {count.depth}",
                f"{count.items:,}",
                percent(kept(count.items, total)),
            )
            for count in counts
        ),
    )


def pools(report: Report) -> Table:
    """Each exit with each pool, every item left there."""
    sizes = sorted({pool.pool for place in report.exits for pool in place.kept})
    calibrated = report.exits[-1].calibrated is not None
    cells = {
        (place.depth, pool.pool): pair(pool_kept(report, pool, calibrated=calibrated))
        for place in report.exits
        for pool in place.kept
    }
    return Table(
        caption=f"Kept of full recall@1 / recall@10 by one fixed exit, {'calibrated' if calibrated else 'raw cosine'}",
        head=("exit", "of full ms", *(f"pool {size}" for size in sizes)),
        rows=tuple(
            (exit_name(place), percent(place.share), *(cells.get((place.depth, size), NOTHING) for size in sizes))
            for place in report.exits
            if place.kept
        ),
    )


def reliability(report: Report) -> Table:
    """The reliability diagram in numbers."""
    found = report.calibration
    bins = found.bins if found is not None else ()
    return Table(
        caption=f"Of the best {found.top if found is not None else 0} answers of each query, in bins of equal mass",
        head=("predicted", "were right", "answers"),
        rows=tuple((number(each.predicted, 4), number(each.right, 4), f"{each.count:,}") for each in bins),
    )


def windows(report: Report) -> Table:
    """The windows of healing."""
    return Table(
        caption="Windows of healing, shallow to deep; losses of different windows cannot be compared",
        head=("layers", "steps", "first loss", "last loss", "time"),
        rows=tuple(
            (
                f"{window.first} to {window.last}",
                str(window.losses[-1].step) if window.losses else NOTHING,
                number(window.losses[0].loss if window.losses else None),
                number(window.losses[-1].loss if window.losses else None),
                duration(window.seconds),
            )
            for window in report.healing
        ),
    )


def parity(report: Report) -> Table:
    """Exported files against torch."""
    return Table(
        caption="Each exported file against torch on held-out items: smallest cosine, largest difference",
        head=("file", "runtime", "batch", "cosine", "difference"),
        rows=tuple(
            (line.file, line.runtime, str(line.batch), f"{line.cosine:.5f}", f"{line.difference:.2e}")
            for line in report.parity
        ),
    )


def sizes(report: Report) -> Table:
    """Bytes of each file."""
    total = sum(file.bytes for file in report.sizes)
    return Table(
        caption=f"The bundle: {len(report.sizes)} files, {size(total)}",
        head=("file", "size"),
        rows=tuple((file.path, size(file.bytes)) for file in report.sizes),
    )
