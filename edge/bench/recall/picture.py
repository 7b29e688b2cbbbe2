"""The anytime curve as one picture: recall kept against the deadline. Source: Reminisce, its Fig. 5b."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from edge.bench.recall.figures import Point, Report

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 400, 60, 180, 70, 44
_LABEL = 15  # pixels between two
_INK, _GREY = "#24292f", "#6e7781"
_LINES = (("default", "#0969da"), ("mixed", "#bc4c00"))
_CUTS = (("at_1", "R@1", ""), ("at_10", "R@10", ' stroke-dasharray="5 3"'))


def svg(report: Report) -> str:
    """Share of full depth's recall@1 and recall@10 by deadline, of the default policy and of mixed exits."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(16, 24, f"What an answer keeps of full depth's recall, by deadline ({report.model})", _INK, 15),
        _text(16, 44, report.said[0], _GREY, 12),
    ]
    latest = max(one.deadline_ms for one in report.curve)
    shares = [_share(report, one, cut) for one in report.curve for cut, *_ in _CUTS]
    low, high = min([*shares, 0.9]), max([*shares, 1.0])

    def x(milliseconds: float) -> float:
        return _LEFT + milliseconds / latest * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - (share - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    for share in _ticks(low, high):
        parts.append(_line([(_LEFT, y(share)), (_WIDTH - _RIGHT, y(share))], "#d0d7de", ""))
        parts.append(_text(16, y(share) + 4, f"{share:.0%}", _GREY, 12))
    parts += [_text(x(one), _HEIGHT - 24, f"{one:.0f}", _GREY, 12) for one in (0, latest / 2, latest)]
    parts.append(_text(_LEFT, _HEIGHT - 8, "deadline, milliseconds", _GREY, 12))
    labels: list[tuple[float, str, str]] = []
    for kept, colour in _LINES:
        points = [one for one in report.curve if one.kept == kept]
        for cut, title, dashes in _CUTS:
            places = [(x(one.deadline_ms), y(_share(report, one, cut))) for one in points]
            parts.append(_line(places, colour, f' stroke-width="2"{dashes}'))
            labels.append((places[-1][1], f"{title}, {kept}", colour))
    free = 0.0
    for at, label, colour in sorted(labels):
        free = max(free + _LABEL, at)
        parts.append(_text(_WIDTH - _RIGHT + 8, free + 4, label, colour, 12))
    return "\n".join([*parts, "</svg>\n"])


def _share(report: Report, one: Point, cut: str) -> float:
    own, whole = getattr(one.recall, cut), getattr(report.full, cut)
    return float(own / whole) if whole else 0.0


def _ticks(low: float, high: float) -> Iterator[float]:
    """Every tenth in between."""
    return (tenth / 10 for tenth in range(11) if low <= tenth / 10 <= high)


def _text(x: float, y: float, text: str, colour: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, more: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}"{more}/>'
