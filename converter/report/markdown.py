"""The main figures as Markdown: for the terminal, and for a README."""

from __future__ import annotations

from collections.abc import Sequence

from converter.report import origin_tables, seed_tables, tables
from converter.report.figures import Report
from converter.report.seeds import combine
from converter.report.shares import full
from converter.report.tables import Table
from converter.report.words import NOT_CALIBRATED, NOT_HEALED, answer, number, percent, signed


def render_markdown(reports: Sequence[Report]) -> str:
    """One report, or mean and spread over several seeds. Raises UsageError where they cannot be combined."""
    if len(reports) == 1:
        return _one(reports[0])
    table = combine(reports)
    return _joined([f"# {table.model}, seeds {', '.join(map(str, table.seeds))}", *_tables(seed_tables.all_of(table))])


def markdown_table(table: Table) -> str:
    """A pipe table under its caption."""
    lines = [table.head, tuple("---" for _ in table.head), *table.rows]
    return "\n".join([f"{table.caption}:", "", *("| " + " | ".join(map(_cell, line)) + " |" for line in lines)])


def _one(report: Report) -> str:
    short = [tables.recalls(report), tables.costs(report), tables.at_equal_cost(report), tables.pools(report)]
    said = [*answer(report), _calibration(report), origin_tables.skipped(report)]
    if not report.healed and NOT_HEALED not in said:
        said.append(NOT_HEALED)
    lines = "\n".join(f"- {line}" for line in said if line)
    return _joined([f"# {report.model}, seed {report.seed}, {report.date}", lines, *_tables(short)])


def _calibration(report: Report) -> str:
    found = report.calibration
    if found is None:
        return NOT_CALIBRATED if full(report) else ""
    gain = f", {signed(found.gain)} ± {number(found.error)} of full recall@1" if found.gain is not None else ""
    return (
        f"Calibration: ECE {number(found.ece, 4)}, Brier skill {number(found.brier_skill)}"
        f" over a base rate of {percent(found.base_rate)}{gain}."
    )


def _tables(found: Sequence[Table]) -> list[str]:
    return [markdown_table(table) for table in found if table.rows]


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
