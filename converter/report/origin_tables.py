"""What a report says of where its numbers come from: data, machine, versions, licences, time."""

from __future__ import annotations

from converter.report.figures import Report
from converter.report.tables import Table


def build(report: Report) -> Table:
    """What was built, when and on what."""
    machine = report.machine
    return Table(
        caption="This build",
        head=("what", "which"),
        rows=(
            ("model", report.model),
            ("recipe, without its seed", report.recipe),
            ("seed", str(report.seed)),
            ("date", report.date),
            ("processor", f"{machine.processor}, {machine.cores} cores, {machine.threads} used"),
            ("system", machine.system),
            ("milliseconds", machine.timing),
        ),
    )


def data(report: Report) -> Table:
    """How many items and queries had which part."""
    found = report.data
    return Table(
        caption=f"Data: {found.kind}; no item is in two parts" if found is not None else "Data",
        head=("part", "items", "queries"),
        rows=tuple((count.role, f"{count.items:,}", f"{count.queries:,}") for count in (found.counts if found else ())),
    )


def licences(report: Report) -> Table:
    """What weights and data allow."""
    return Table(
        caption="Weights and data",
        head=("of", "licence", "credit"),
        rows=tuple((one.of, one.licence, one.credit) for one in report.licences),
    )


def versions(report: Report) -> Table:
    """Packages that took part."""
    return Table(
        caption="Packages",
        head=("package", "version"),
        rows=tuple((one.package, one.version) for one in report.versions),
    )


def skipped(report: Report) -> str:
    """What could not be read, in a sentence."""
    found = report.data
    if found is None or not found.skipped:
        return "No item was skipped."
    names = ", ".join(found.skipped_names)
    more = found.skipped - len(found.skipped_names)
    rest = f" and {more:,} more" if more > 0 else ""
    return f"Skipped, since they could not be read: {found.skipped:,} items: {names}{rest}."
