"""The benchmark as a Markdown table, as JSON and as a picture."""

from __future__ import annotations

import dataclasses
import json

from edge.bench.remember.figures import Report, RowFigures
from edge.bench.remember.rows import FULL


def markdown(report: Report) -> str:
    """A table with a line for each row, under what it was measured with."""
    kind = report.rows[0].energy_kind
    lines = [
        f"{report.model}, {report.items} items" + (" (overhead only)" if report.overhead_only else ""),
        *(f"- {line}" for line in report.said),
        "",
        (
            "| | items/s | against full depth batched | of what its exits allow | against MEM | processor ms an item"
            f" | outside invoke | J an item ({kind}) | anonymous MB | VmHWM MB | leave at depth | R@1 | R@10 |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    full = report.row(FULL)
    return "\n".join([*lines, *(_line(row, full) for row in report.rows)])


def as_json(report: Report) -> str:
    """All figures, for other programs."""
    return json.dumps(dataclasses.asdict(report), indent=1)


def _line(row: RowFigures, full: RowFigures) -> str:
    exits = ", ".join(f"{depth}: {share:.0%}" for depth, share in row.exits.items())
    cells = (
        row.title,
        f"{row.items_per_s:.1f}",
        f"{row.to_full.median:.2f}x [{row.to_full.low:.2f}, {row.to_full.high:.2f}]",
        f"{row.to_full.median / row.allowed:.0%} of {row.allowed:.2f}x",
        f"{row.to_mem.median:.2f}x",
        f"{row.processor_ms:.1f}",
        f"{row.outside_share:.1%}",
        "-" if row.energy_j is None else f"{row.energy_j:.3f}",
        f"{row.anonymous_mb:.0f}",
        f"{row.resident_mb:.0f}",
        exits,
        _kept(row, full, "at_1"),
        _kept(row, full, "at_10"),
    )
    return f"| {' | '.join(cells)} |"


def _kept(row: RowFigures, full: RowFigures, cut: str) -> str:
    if row.recall is None or full.recall is None:
        return "-"
    own, whole = getattr(row.recall, cut), getattr(full.recall, cut)
    return f"{own:.3f} ({own / whole:.1%})" if whole else f"{own:.3f}"
