"""The sentences of a report, and how its numbers are written."""

from __future__ import annotations

from converter.report.figures import PolicyName, Recall, Report
from converter.report.shares import full, nearest, point_kept

NOTHING = "–"  # noqa: RUF001 - the dash that stands for "not measured" in a table
TITLES = {
    "fixed": "fixed exit",
    "predict": "predict",
    "gate": "gate",
    "gate+neighbours": "gate with neighbours",
    "random": "random",
    "oracle": "split oracle",
}
MEANINGS = {
    "fixed": "every item leaves at one exit",
    "predict": "a small net decides once, after the first exit",
    "gate": "a small net decides at every exit, from the item's likeness to the bank of stock queries",
    "random": "exits drawn by chance: what any prediction must beat",
    "oracle": (
        "up to 3 of the item's own queries choose its exit, the rest judge it: what no device can know; shown"
        " as its gain over the fixed exit on those judging queries, on top of the fixed exit here"
    ),
}
WORDS = (
    ("recall@k", "share of the queries whose item is among the first k answers."),
    ("pool", "how many of a query's best items are finished to full depth and ranked again."),
    (
        "kept",
        "that search's recall as a share of full depth's, ranked alike; above 100 % where bad items stay coarse.",
    ),
    (
        "cost",
        "mean milliseconds of an item's trunk as a share of full depth's, without heads, gate, predictor and bank.",
    ),
)
NOT_HEALED = "This build was not healed: the trunk's weights are the published ones, and only the heads were learnt."
NOT_CALIBRATED = (
    "This bundle is not calibrated: there were too few query-item pairs, so items are ranked by raw cosine."
)
NOT_MEASURED = "Recall was not measured: the build had no items with queries to measure it on."
NO_POLICIES = "No policy was compared: that takes items with queries to measure them on."
NO_LABELS = "No survival labels were made, so there is no predictor and no gate."


def percent(value: float | None, digits: int = 1) -> str:
    """A share from 0 to 1."""
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Any other measured number."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference."""
    return NOTHING if value is None else f"{value:+.{digits}f}"


def recall(value: Recall | None) -> str:
    """Recall at 1, 5 and 10."""
    return NOTHING if value is None else f"{value.at_1:.3f} / {value.at_5:.3f} / {value.at_10:.3f}"


def pair(values: tuple[float | None, float | None]) -> str:
    """Two shares, of recall@1 and recall@10."""
    return NOTHING if values == (None, None) else " / ".join(percent(value) for value in values)


def size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def answer(report: Report) -> tuple[str, ...]:
    """The report in a paragraph: what the default keeps and costs, and why it is the default."""
    if report.choice is None:
        return (_depth(report), NO_POLICIES if full(report) else NOT_MEASURED)
    why = f"Why {TITLES[report.choice.policy]}: {report.choice.reason.rstrip('.')}."
    return (_kept(report, report.choice.policy), why, _healing(report))


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """What to know at a glance, as (value, what it is); less where less was measured."""
    point = nearest(report, report.choice.policy) if report.choice is not None else None
    found: list[tuple[str, str]] = []
    if point is not None:
        at_1, at_10 = point_kept(report, point)
        found += [(percent(at_1), "of recall@1 kept"), (percent(at_10), "of recall@10 kept")]
        found += [(percent(point.cost), "of the milliseconds"), (str(point.pool), "items finished for a query")]
    if report.sizes:
        found.append((size(sum(file.bytes for file in report.sizes)), "bundle"))
    return tuple(found)


def _kept(report: Report, policy: PolicyName) -> str:
    point, title = nearest(report, policy), TITLES[policy]
    if point is None:
        return f"The default policy is {title}; its settings were not measured."
    at_1, at_10 = point_kept(report, point)
    whole = report.exits[-1].ms
    return (
        f"With its default policy, {title}, {report.model} keeps {percent(at_1)} of full recall@1 and {percent(at_10)}"
        f" of full recall@10 at {percent(point.cost)} of the milliseconds with pool {point.pool}:"
        f" {point.cost * whole:.2f} instead of {whole:.2f} ms an item."
    )


def _depth(report: Report) -> str:
    first, last = report.exits[0], report.exits[-1]
    return (
        f"{report.model} has {len(report.exits)} exits, from depth {first.depth} ({percent(first.share)} of the"
        f" milliseconds) to {last.depth} of {last.layers} layers ({last.ms:.2f} ms an item, {last.float32_ms:.2f} in"
        f" float32: {last.float32_ms / last.ms:.2f} times as long)."
    )


def _healing(report: Report) -> str:
    gains = [
        (place.raw.at_10 - place.before.at_10, place.depth)
        for place in report.exits
        if place.raw is not None and place.before is not None
    ]
    if not report.healed or not gains:
        return NOT_HEALED if not report.healed else "Recall before healing was not measured."
    best, depth = max(gains)
    return (
        f"Healing moves recall@10 by {signed(best)} at depth {depth}, where it helps most,"
        f" and by {signed(gains[-1][0])} at full depth."
    )
