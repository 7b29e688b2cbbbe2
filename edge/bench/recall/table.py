"""The benchmark as Markdown tables, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator

from edge.bench.recall.cutoff import KEEP
from edge.bench.recall.device import POOL
from edge.bench.recall.figures import TITLES, Found, Report, Visited
from edge.bench.recall.judging import Recall

NAMES = {
    "full": "full depth",
    "default": "default policy",
    "mixed": "mixed exits",
    "first": "all at the first exit",
    "equal": "all at the exit of like cost",
}


def markdown(report: Report) -> str:
    """What is kept, what is found, with which pool, how fast at which size, by which deadline."""
    tables = (
        _kept(report),
        _found(report),
        _pools(report),
        _cutoffs(report),
        _sizes(report),
        _alone(report),
        _curve(report),
    )
    head = [f"{report.model}, {report.photos:,} photos", *(f"- {line}" for line in report.said)]
    return "\n\n".join(part for part in ("\n".join(lines) for lines in (head, *tables)) if part)


def as_json(report: Report) -> str:
    """All figures, for other programs."""
    return json.dumps(dataclasses.asdict(report), indent=1)


def _kept(report: Report) -> Iterator[str]:
    yield from _header("memory", "items leave at depth", "of full depth's ms", "device answers as counted", "s to fill")
    for one in report.memories:
        exits = ", ".join(f"{depth}: {share:.0%}" for depth, share in one.exits.items())
        yield _row(NAMES[one.kept], exits, f"{one.cost:.1%}", f"{one.same:.0%}", f"{one.fill_s:.1f}")


def _found(report: Report) -> Iterator[str]:
    full = report.full
    yield from _header("memory", "search", "R@1 / 5 / 10, coarse", f"best {POOL} finished", "of full R@1 / R@10")
    yield _row(NAMES["full"], "exact", "-", _recall(full), "100% / 100%")
    for coarse in report.found:
        if coarse.pool or coarse.kept == "full":
            continue
        fine = report.of(coarse.kept, coarse.way, POOL)
        yield _row(NAMES[coarse.kept], search(coarse), _recall(coarse.recall), _recall(fine), _share(fine, full))


def search(one: Found) -> str:
    """What its search is called."""
    return "one exit, nothing to merge" if one.kept in {"first", "equal"} else TITLES[one.way]


def _pools(report: Report) -> Iterator[str]:
    yield from _header("memory", "pool", "R@1 / 5 / 10", "of full R@1 / R@10", "p50 / p95 ms", "J a question")
    first = report.timings[0].items
    for one in report.timings:
        if one.items != first or one.way != "calibrated":
            continue
        found = report.of(one.kept, "calibrated", one.pool)
        of_full, joules = _share(found, report.full), _joules(one.energy_j)
        yield _row(NAMES[one.kept], one.pool, _recall(found), of_full, _pair((one.p50_ms, one.p95_ms)), joules)


def _cutoffs(report: Report) -> Iterator[str]:
    if not report.cutoffs:
        return
    gone = " / ".join(f"{one.removed:.0f}, cosine > {one.cosine:.2f}" for one in report.cutoffs[0].absences)
    yield from _header(
        "memory", "pool", "true hits: own photo", f"`min_relevance` to keep {KEEP:.0%}",
        "keeps on the other half: first / among 10", "something left",
        f"own photo and neighbours removed ({gone})", "AUROC",
    )  # fmt: skip
    for one in report.cutoffs:
        yield _row(
            NAMES[one.kept],
            one.pool or "coarse only",
            "first" if one.within == 1 else f"among {one.within}",
            f"{one.least:.2g}",
            f"{one.first:.1%} / {one.ten:.1%}",
            f"{one.answered:.1%}",
            " / ".join(f"{absence.false:.1%}" for absence in one.absences),
            " / ".join(f"{absence.auroc:.3f}" for absence in one.absences),
        )


def _sizes(report: Report) -> Iterator[str]:
    kind = report.energy_kind
    yield from _header(
        "items", "memory", "search", "pool", "p50 / p95 ms", "of it the device", f"J a question ({kind})"
    )
    (full,) = (one for one in report.memories if one.kept == "full")
    demand = f"{full.fill_s * 1e3:,.0f}"
    yield _row(f"{report.photos:,}", "none: all embedded when asked, at full depth", "exact", "-", demand, demand, "-")
    for one in report.timings:
        if one.pool in {0, POOL}:
            title = "exact" if one.kept == "full" else TITLES[one.way]
            pair, device, joules = _pair((one.p50_ms, one.p95_ms)), _pair(one.device_ms), _joules(one.energy_j)
            yield _row(f"{one.items:,}", NAMES[one.kept], title, one.pool or "coarse only", pair, device, joules)


def _alone(report: Report) -> Iterator[str]:
    yield from _header(
        "items", "memory", "top 10 as exact search", "ms to open", "cold question, ms", "while remembering: coarse, ms",
        f"pool {POOL}, ms", "items/s meanwhile", "anonymous MB", "VmHWM MB",
    )  # fmt: skip
    yield from map(_visited, report.visits)


def _visited(one: Visited) -> str:
    return _row(
        f"{one.items:,}",
        NAMES[one.kept],
        f"{one.agreement:.1%}",
        f"{one.open_ms:.0f}",
        f"{one.cold_ms:.0f}",
        _pair(one.coarse_ms),
        _pair(one.fine_ms),
        f"{one.items_per_s:.0f}",
        f"{one.anonymous_mb:.0f}",
        f"{one.resident_mb:.0f}",
    )


def _curve(report: Report) -> Iterator[str]:
    yield from _header(
        "memory", "deadline, ms", "answer p50 / p95 ms", "finished", "R@1 / 5 / 10", "of full R@1 / R@10"
    )
    for one in report.curve:
        answer, of_full = _pair((one.p50_ms, one.p95_ms)), _share(one.recall, report.full)
        yield _row(NAMES[one.kept], one.deadline_ms, answer, f"{one.refined:.1f}", _recall(one.recall), of_full)


def _header(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield _row(*["---"] * len(titles))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _recall(found: Recall) -> str:
    return f"{found.at_1:.3f} {found.at_5:.3f} {found.at_10:.3f}"


def _share(found: Recall, full: Recall) -> str:
    pairs: Iterable[tuple[float, float]] = ((found.at_1, full.at_1), (found.at_10, full.at_10))
    return " / ".join(f"{own / whole:.1%}" if whole else "-" for own, whole in pairs)


def _pair(milliseconds: tuple[float, float]) -> str:
    return " / ".join(f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in milliseconds)


def _joules(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
