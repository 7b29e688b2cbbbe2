"""`report.html`: one file that needs nothing else, no script, no network; for a screen, a phone and paper."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from converter.report import origin_tables, plots, seed_tables, svg, tables
from converter.report.figures import Report
from converter.report.seeds import combine
from converter.report.shares import full, shown_cost
from converter.report.svg import Plot
from converter.report.tables import Table
from converter.report.words import (
    MEANINGS,
    NO_LABELS,
    NO_POLICIES,
    NOT_CALIBRATED,
    NOT_HEALED,
    NOT_MEASURED,
    TITLES,
    WORDS,
    answer,
    facts,
    number,
    percent,
    signed,
)

_STYLE = """\
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;padding:1rem;
max-width:64rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:2.4rem 0 .3rem;padding-top:.6rem;
border-top:1px solid var(--line)}
p{margin:.5rem 0;max-width:46rem}.answer{font-size:1.15rem}
a{color:var(--blue)}nav a{margin-right:.9rem;white-space:nowrap}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem;margin:1rem 0}
figure{margin:0;max-width:31rem}figcaption{font-weight:600;font-size:.92rem}
svg{display:block;width:100%;height:auto}svg text{font-family:inherit!important}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;min-width:min(100%,32rem);font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.2rem 0;color:var(--mute)}
th,td{text-align:right;padding:.22rem .7rem .22rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,.texts td,.texts th{text-align:left}.texts td{white-space:normal;overflow-wrap:anywhere}
dl{margin:1rem 0;max-width:46rem}dd{margin:0}.terms{font-size:.92rem}
.terms dt{font-weight:600;float:left;clear:left;margin-right:.5rem}.terms dd{margin-bottom:.2rem}
.facts{display:flex;max-width:none;flex-wrap:wrap;gap:.8rem 2.2rem}
.facts div{display:flex;flex-direction:column-reverse}
.facts dd{font-size:1.6rem;font-weight:650;line-height:1.2}.facts dt{font-size:.86rem;color:var(--mute)}
summary{cursor:pointer}
@media print{body{font-size:10pt;max-width:none}nav{display:none}h2{break-after:avoid}
figure,tr{break-inside:avoid}.plots{grid-template-columns:1fr 1fr}.scroll{overflow:visible}
th,td{white-space:normal}}
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{answer}
{facts}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page.

    texts: tables of words, not of numbers; folded: tables shown on request; terms: words with their meaning
    """

    slug: str
    title: str
    lead: tuple[str, ...] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    texts: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    terms: Sequence[tuple[str, str]] = ()


def render_page(reports: Sequence[Report]) -> str:
    """The page of the first report; of several also mean and spread. Raises UsageError where they do not combine."""
    report = reports[0]
    sections = [section(report) for section in _SECTIONS]
    if len(reports) > 1:
        sections.insert(0, _seeds(reports))
    links = " ".join(f'<a href="#{section.slug}">{html.escape(section.title)}</a>' for section in sections)
    return _PAGE.format(
        title=html.escape(f"{report.model}: where to leave, and what it costs"),
        style=f"{svg.stylesheet()}\n{_STYLE}",
        answer="\n".join(f'<p class="answer">{html.escape(line)}</p>' for line in answer(report)),
        facts=_facts(report),
        links=links,
        sections="\n".join(_section(section) for section in sections),
    )


def _measured(report: Report) -> tuple[str, ...]:
    return (f"Measured on {report.data.measured_on}.",) if report.data is not None else (NOT_MEASURED,)


def _facts(report: Report) -> str:
    cells = "".join(
        f"<div><dt>{html.escape(what)}</dt><dd>{html.escape(value)}</dd></div>" for value, what in facts(report)
    )
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def _seeds(reports: Sequence[Report]) -> Section:
    table = combine(reports)
    seeds = ", ".join(str(seed) for seed in table.seeds)
    lead = f"The same recipe with seeds {seeds}. Everything below this section is of seed {reports[0].seed} alone."
    return Section(slug="seeds", title="Over seeds", lead=(lead,), tables=seed_tables.all_of(table))


def _policies(report: Report) -> Section:
    names = [curve.name for curve in report.policies]
    return Section(
        slug="policies",
        title="Policies at equal cost",
        lead=_measured(report) if names else (NO_POLICIES,),
        terms=(*WORDS, *((TITLES[name], f"{MEANINGS[name]}.") for name in names)) if names else (),
        plots=plots.policies(report),
        tables=(tables.at_equal_cost(report), tables.differences(report)),
        folded=(tables.settings(report),),
    )


def _leaving(report: Report) -> Section:
    labelled = () if report.labels is not None else (NO_LABELS,)
    lead = (f"At the setting nearest to {percent(shown_cost(report))} of the milliseconds.",) if report.policies else ()
    return Section(
        slug="leaving",
        title="Where items leave",
        lead=lead + labelled,
        plots=[*plots.exit_histogram(report), *plots.label_histogram(report)],
        tables=(tables.histograms(report), tables.labels(report), tables.predictors(report)),
    )


def _exits(report: Report) -> Section:
    healed = () if report.healed else (NOT_HEALED,)
    return Section(
        slug="exits",
        title="Exits",
        lead=_measured(report) + healed,
        plots=[*plots.recall_per_exit(report), *plots.cost_per_exit(report)],
        tables=(tables.recalls(report), tables.costs(report)),
    )


def _pools(report: Report) -> Section:
    found = plots.pools(report)
    return Section(
        slug="pools",
        title="Pools",
        lead=() if found else (NOT_MEASURED if full(report) is None else "No pool was measured.",),
        plots=found,
        tables=(tables.pools(report),) if found else (),
    )


def _calibration(report: Report) -> Section:
    return Section(
        slug="calibration",
        title="Calibration",
        lead=(_believed(report),),
        plots=plots.reliability(report),
        tables=(tables.reliability(report),),
    )


def _believed(report: Report) -> str:
    found = report.calibration
    if found is None:
        return NOT_CALIBRATED if full(report) is not None else NOT_MEASURED
    gain = ""
    if found.gain is not None:
        gain = f" At full depth it moves recall@1 by {signed(found.gain)} ± {number(found.error)} (paired)."
    return (
        f"Expected calibration error {number(found.ece, 4)}; Brier score {number(found.brier, 5)} against"
        f" {number(found.brier_base, 5)} for always saying the base rate of {percent(found.base_rate, 2)}:"
        f" skill {number(found.brier_skill)}.{gain}"
    )


def _healing(report: Report) -> Section:
    return Section(
        slug="healing",
        title="Healing",
        lead=(NOT_HEALED,) if not report.healed else () if report.healing else ("Its losses were not recorded.",),
        plots=plots.healing_loss(report),
        tables=(tables.windows(report),),
    )


def _export(report: Report) -> Section:
    lead = () if report.parity else ("Exported files were not compared with torch.",)
    return Section(
        slug="export",
        title="Export",
        lead=lead,
        tables=(tables.parity(report),),
        folded=(tables.sizes(report),),
    )


def _origin(report: Report) -> Section:
    chosen = (f"The default was chosen on {report.choice.chosen_on}.",) if report.choice is not None else ()
    return Section(
        slug="origin",
        title="How this was made",
        lead=(*_measured(report), *chosen, origin_tables.skipped(report)),
        texts=(origin_tables.build(report), origin_tables.licences(report)),
        tables=(origin_tables.data(report),),
        folded=(origin_tables.versions(report),),
    )


_SECTIONS = (_policies, _leaving, _exits, _pools, _calibration, _healing, _export, _origin)


def _section(section: Section) -> str:
    parts = [f'<section id="{section.slug}">', f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(line)}</p>" for line in section.lead]
    if section.plots:
        parts.append(f'<div class="plots">\n{"".join(map(_figure, section.plots))}</div>')
    parts += [_table(table, "") for table in section.tables if table.rows]
    parts += [_table(table, "texts") for table in section.texts if table.rows]
    for table in section.folded:
        if table.rows:
            parts.append(f"<details><summary>{html.escape(table.caption)}</summary>{_table(table, '')}</details>")
    if section.terms:
        terms = (f"<dt>{html.escape(word)}</dt><dd>{html.escape(what)}</dd>" for word, what in section.terms)
        parts.append(f'<dl class="terms">{"".join(terms)}</dl>')
    return "\n".join([*parts, "</section>"])


def _figure(plot: Plot) -> str:
    return f"<figure><figcaption>{html.escape(plot.title)}</figcaption>\n{svg.inline(plot)}\n</figure>\n"


def _table(table: Table, kind: str) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    body = "\n".join(f"<tr>{_row(row)}</tr>" for row in table.rows)
    caption = html.escape(table.caption)
    return (
        f'<div class="scroll {kind}" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(row: Sequence[str]) -> str:
    first, *others = (html.escape(cell) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others)
