"""The two files that a build leaves beside its bundle, and a single plot for a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converter.report.figures import Report
from converter.report.json_file import REPORT_JSON, put, write_json
from converter.report.page import render_page
from converter.report.plots import PLOTS
from converter.report.svg import standalone
from edge.errors import UsageError

REPORT_HTML = "report.html"


def write_report(report: Report, out_dir: Path, others: Sequence[Report] = ()) -> None:
    """Write report.json and report.html; `others` are further seeds, for the page. Raises OSError, UsageError."""
    page = render_page([report, *others])
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(report, out_dir / REPORT_JSON)
    put(out_dir / REPORT_HTML, page)


def render_plot(report: Report, name: str) -> str:
    """One plot as an SVG file of its own. Raises UsageError that lists the plots there are."""
    found = {plot.name: plot for draw in PLOTS for plot in draw(report)}
    if name not in found:
        raise UsageError(f"{name} is no plot of this report: there are {', '.join(found)}")
    return standalone(found[name])
