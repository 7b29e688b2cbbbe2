"""The plots of a report. Each says its message in title and description; a table beside it has the numbers.

Each function returns no plot where its part is missing: a page never shows empty axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from converter.report.figures import MEASURES, Measure, Recall, Report
from converter.report.shares import full, nearest, point_kept, points_of, pool_kept, shown_pool
from converter.report.svg import PAPER, Plot, canvas, drawn
from converter.report.tables import raw_fixed
from converter.report.words import TITLES, number, percent

# By colour, marker and dash: also apart in black and white, and for who does not see red from green.
_LOOKS = {
    "fixed": ("blue", "o", "-"),
    "predict": ("violet", "s", "-"),
    "gate": ("orange", "^", "-"),
    "random": ("mute", ".", ":"),
    "oracle": ("red", "d", "-."),
}
_SLUGS = {"recall@1": "at-1", "recall@10": "at-10"}
_WIDE = (4.7, 2.8)


def recall_per_exit(report: Report) -> list[Plot]:
    """Recall of each exit before and after healing, and calibrated; one plot for recall@1, one for recall@10."""
    if full(report) is None:
        return []
    return [_recall_plot(report, measure) for measure in MEASURES]


def _recall_plot(report: Report, measure: Measure) -> Plot:
    lines = (
        ("before healing", [place.before for place in report.exits], "mute", "o", "--"),
        ("healed" if report.healed else "by cosine", [place.raw for place in report.exits], "blue", "s", "-"),
        ("calibrated", [place.calibrated for place in report.exits], "orange", "^", "-"),
    )
    depths = [place.depth for place in report.exits]
    with canvas("exit, layers done", measure) as axes:
        for label, recalls, colour, marker, dash in lines:
            line = [(depth, _of(found, measure)) for depth, found in zip(depths, recalls, strict=True) if found]
            if line:
                x, y = zip(*line, strict=True)
                axes.plot(x, y, label=label, color=PAPER[colour], marker=marker, linestyle=dash)
        axes.set_xticks(depths)
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
        title = f"{measure.capitalize()} of each exit"
        description = f"{measure} rises with depth: {_said(depths, [place.raw for place in report.exits], measure)}."
        return drawn(axes, f"exits-{_SLUGS[measure]}", title, description)


def _of(found: Recall, measure: Measure) -> float:
    return found.at_1 if measure == "recall@1" else found.at_10


def _said(depths: Sequence[int], recalls: Sequence[Recall | None], measure: Measure) -> str:
    return ", ".join(
        f"{number(_of(found, measure))} at depth {depth}"
        for depth, found in zip(depths, recalls, strict=True)
        if found is not None
    )


def cost_per_exit(report: Report) -> list[Plot]:
    """Milliseconds of each exit, with their share."""
    names = [str(place.depth) for place in report.exits]
    with canvas("exit, layers done", "ms an item (TFLite)", inches=_WIDE) as axes:
        bars = axes.bar(names, [place.ms for place in report.exits], color=PAPER["blue"], width=0.62)
        axes.bar_label(bars, [percent(place.share, 0) for place in report.exits], padding=2, fontsize=7.5)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        parts = ", ".join(f"{place.ms:.2f} ms at depth {place.depth}" for place in report.exits)
        return [drawn(axes, "cost", "Milliseconds up to each exit, and share of full depth", f"{parts}.")]


def policies(report: Report) -> list[Plot]:
    """Recall kept against cost, every policy at the shown pool; the default's setting is ringed."""
    whole = full(report)
    if not report.policies or whole is None or whole.at_1 == 0:
        return []
    return [_policy_plot(report, index, measure) for index, measure in enumerate(MEASURES)]


def _policy_plot(report: Report, index: int, measure: Measure) -> Plot:
    with canvas("share of full-depth milliseconds, %", f"share of full {measure} kept, %") as axes:
        axes.axhline(100, color=PAPER["mute"], linewidth=0.8)
        if report.calibration is not None:
            _line(axes, [(cost, found[index]) for cost, found in raw_fixed(report)], "fixed, not calibrated", _RAW)
        for curve in report.policies:
            points = [(point.cost, point_kept(report, point)[index]) for point in points_of(report, curve)]
            _line(axes, points, TITLES[curve.name], _LOOKS[curve.name])
        _ring(axes, report, index)
        _legend_above(axes, 3)
        title = f"{measure.capitalize()} kept at equal cost, pool {shown_pool(report)}"
        description = (
            f"Share of full {measure} that each policy keeps against its mean cost; the ring marks the default setting."
        )
        return drawn(axes, f"policies-{_SLUGS[measure]}", title, description)


def _legend_above(axes: Axes, columns: int, title: str | None = None) -> None:
    # Within the axes it would hide the lines, which may lie anywhere.
    axes.figure.legend(title=title, loc="outside upper center", ncols=columns)


_RAW = ("blue", "None", "--")


def _line(axes: Axes, points: Sequence[tuple[float, float | None]], label: str, looks: tuple[str, str, str]) -> None:
    colour, marker, dash = looks
    known = [(100 * cost, 100 * value) for cost, value in points if value is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(x, y, label=label, color=PAPER[colour], marker=marker, linestyle=dash, linewidth=1.4)


def _ring(axes: Axes, report: Report, index: int) -> None:
    point = nearest(report, report.choice.policy) if report.choice is not None else None
    value = point_kept(report, point)[index] if point is not None else None
    if point is not None and value is not None:
        style = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": PAPER["ink"]}
        axes.plot([100 * point.cost], [100 * value], linestyle="none", label="default", **style)  # type: ignore[arg-type]


def exit_histogram(report: Report) -> list[Plot]:
    """Where items leave under each policy, one bar a policy, darker is deeper."""
    found = [(TITLES[curve.name], nearest(report, curve.name)) for curve in report.policies]
    bars = [(f"{title}, {percent(point.cost, 0)}", point.exits) for title, point in found if point is not None][::-1]
    if not bars:
        return []
    with canvas("items that leave, %", "", inches=(4.7, 1.3 + 0.3 * len(bars))) as axes:
        names, left = [name for name, _ in bars], [0.0] * len(bars)
        for index, place in enumerate(report.exits):
            widths = [100 * shares[index] for _, shares in bars]
            alpha = 0.15 + 0.85 * index / max(len(report.exits) - 1, 1)
            looks = {"color": PAPER["blue"], "alpha": alpha, "edgecolor": PAPER["paper"], "linewidth": 0.7}
            axes.barh(names, widths, left=left, label=str(place.depth), **looks)  # type: ignore[arg-type]
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 100)
        _legend_above(axes, min(len(report.exits), 8), "exit, layers done")
        description = "One bar for each policy, at the setting nearest to the default's cost, split by exit."
        return [drawn(axes, "histogram", "Where items leave under each policy", description)]


def pools(report: Report) -> list[Plot]:
    """Recall kept with one fixed exit against the pool; one line an exit, stronger is deeper."""
    sizes = sorted({pool.pool for place in report.exits for pool in place.kept})
    whole = full(report)
    if not sizes or len(report.exits) < 2 or whole is None or whole.at_1 == 0:
        return []
    return [_pool_plot(report, sizes, index, measure) for index, measure in enumerate(MEASURES)]


def _pool_plot(report: Report, sizes: Sequence[int], index: int, measure: Measure) -> Plot:
    calibrated = report.exits[-1].calibrated is not None
    with canvas("pool, items finished for a query", f"share of full {measure} kept, %") as axes:
        axes.axhline(100, color=PAPER["mute"], linewidth=0.8)
        for rank, place in enumerate(report.exits[:-1]):
            values = {pool.pool: pool_kept(report, pool, calibrated=calibrated)[index] for pool in place.kept}
            known = [(sizes.index(size), 100 * value) for size, value in values.items() if value is not None]
            if known:
                x, y = zip(*sorted(known), strict=True)
                looks = {"alpha": 0.35 + 0.65 * rank / max(len(report.exits) - 2, 1), "marker": _MARKERS[rank % 7]}
                label = f"depth {place.depth} ({percent(place.share, 0)})"
                axes.plot(x, y, label=label, color=PAPER["blue"], **looks)  # type: ignore[arg-type]
        axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        _legend_above(axes, 3, "fixed exit (share of full milliseconds)")
        title = f"{measure.capitalize()} kept by one fixed exit and a pool"
        description = f"Share of full {measure} kept against the pool, a line for each exit; deeper exits lie higher."
        return drawn(axes, f"pools-{_SLUGS[measure]}", title, description)


_MARKERS = "osv^Dpx"


def reliability(report: Report) -> list[Plot]:
    """What was predicted against what was right. Square-root axes: most answers are improbable."""
    found = report.calibration
    if found is None or not found.bins:
        return []
    with canvas("predicted probability of relevance", "share that was right") as axes:
        top = max(max(each.predicted, each.right) for each in found.bins)
        axes.plot([0, 1], [0, 1], color=PAPER["mute"], linestyle="--", linewidth=0.9, label="perfect")
        for each in found.bins:
            error = math.sqrt(each.right * (1 - each.right) / max(each.count, 1))
            ends = [math.sqrt(max(each.right + side * error, 0)) for side in (-1, 1)]
            axes.plot([math.sqrt(each.predicted)] * 2, ends, color=PAPER["blue"], linewidth=1.2)
        points = [(math.sqrt(each.predicted), math.sqrt(each.right)) for each in found.bins]
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=PAPER["blue"], marker="o", linestyle="none", label="bin, with its standard error")
        _square_root_ticks(axes, top)
        axes.legend(loc="upper left")
        title = f"Reliability: ECE {number(found.ece, 4)}, Brier skill {number(found.brier_skill)}"
        description = "Each dot is a bin of equal mass; on the dashed diagonal the predicted probability is right."
        return [drawn(axes, "reliability", title, f"{description} Both axes are square roots.")]


def _square_root_ticks(axes: Axes, top: float) -> None:
    ticks = [tick for tick in (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1) if tick <= max(1.15 * top, 0.05)]
    places, names = [math.sqrt(tick) for tick in ticks], [f"{tick:g}" for tick in ticks]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    limit = math.sqrt(min(max(1.25 * top, 0.05), 1.05))
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)


def label_histogram(report: Report) -> list[Plot]:
    """The first exit that is enough, over all labelled items."""
    if report.labels is None or not report.labels.counts:
        return []
    counts = report.labels.counts
    names = ["none" if count.depth is None else str(count.depth) for count in counts]
    with canvas("first exit that is enough, layers done", "items", inches=_WIDE) as axes:
        bars = axes.bar(names, [count.items for count in counts], color=PAPER["violet"], width=0.62)
        axes.bar_label(bars, [f"{count.items:,}" for count in counts], padding=2, fontsize=7.5)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        parts = ", ".join(f"{count.items} at {name}" for count, name in zip(counts, names, strict=True))
        return [drawn(axes, "labels", "The first exit that is enough for an item", f"{parts}.")]


def healing_loss(report: Report) -> list[Plot]:
    """Training loss, window after window."""
    windows = [window for window in report.healing if window.losses]
    if not windows:
        return []
    colours, start = ("blue", "orange", "green", "violet", "red"), 0
    with canvas("training step", "loss", inches=_WIDE) as axes:
        for index, window in enumerate(windows):
            steps = [start + point.step for point in window.losses]
            label = f"layers {window.first} to {window.last}"
            losses = [point.loss for point in window.losses]
            axes.plot(steps, losses, label=label, color=PAPER[colours[index % len(colours)]])
            start = steps[-1]
        _legend_above(axes, 3)
        description = "Training loss of each window of layers, one after the other, each mean over a stretch of steps."
        return [drawn(axes, "loss", "Training loss of each window", description)]


PLOTS: tuple[Callable[[Report], list[Plot]], ...] = (
    policies,
    exit_histogram,
    recall_per_exit,
    cost_per_exit,
    pools,
    reliability,
    label_histogram,
    healing_loss,
)
