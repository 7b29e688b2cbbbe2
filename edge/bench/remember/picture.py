"""The benchmark as one picture: a bar for each row, and what it keeps of recall."""

from __future__ import annotations

from xml.sax.saxutils import escape

from edge.bench.remember.figures import Report, RowFigures
from edge.bench.remember.rows import FULL, OURS

_WIDTH, _LEFT, _RIGHT, _LINE, _TOP = 860, 290, 190, 30, 64
_INK, _GREY, _OTHERS, _MINE = "#24292f", "#6e7781", "#8c959f", "#0969da"


def svg(report: Report) -> str:
    """Bars of throughput against full depth batched, median over blocks, with smallest and largest as a line."""
    scale = (_WIDTH - _LEFT - _RIGHT) / max(row.to_full.high for row in report.rows)
    height = _TOP + _LINE * len(report.rows) + 34
    full = report.row(FULL)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 24, f"Items a second against full depth, batched ({report.model}, {report.items} items)", _INK, 15),
        _text(16, 44, report.said[0], _GREY, 12),
    ]
    for number, row in enumerate(report.rows):
        parts += _bar(row, full, _TOP + _LINE * number, scale)
    parts.append(_line(_LEFT + scale, _TOP - 4, _LEFT + scale, height - 30, _GREY, ' stroke-dasharray="3 3"'))
    parts.append(
        _text(16, height - 12, "Lines: smallest and largest over blocks that went through all rows in turn.", _GREY, 12)
    )
    return "\n".join([*parts, "</svg>\n"])


def _bar(row: RowFigures, full: RowFigures, y: int, scale: float) -> list[str]:
    ratio = row.to_full
    end = _LEFT + max(ratio.high, 1.0) * scale + 8
    colour = _MINE if row.name.startswith(OURS) else _OTHERS
    kept = ""
    if row.recall is not None and full.recall is not None and full.recall.at_1:
        kept = f", {row.recall.at_1 / full.recall.at_1:.0%} of R@1"
    return [
        _text(16, y + 15, row.title, _INK, 13),
        f'<rect x="{_LEFT}" y="{y}" width="{ratio.median * scale:.1f}" height="22" rx="2" fill="{colour}"/>',
        _line(_LEFT + ratio.low * scale, y + 11, _LEFT + ratio.high * scale, y + 11, _INK),
        _text(end, y + 15, f"{ratio.median:.2f}x{kept}", _INK, 13),
    ]


def _text(x: float, y: float, text: str, colour: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{more}/>'
