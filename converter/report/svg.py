"""Matplotlib figures as SVG: the same bytes for the same numbers, text that stays text, colours that follow the page.

Inline, colours are CSS variables and nothing names another file or address; standalone, they are those of paper.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# By name: on paper, and on a dark screen. Each has a contrast of at least 3 : 1 with its ground.
COLOURS = {
    "ink": ("#1f2328", "#e6e8eb"),
    "mute": ("#6a737d", "#9aa4af"),
    "line": ("#d3d9df", "#3a424b"),
    "blue": ("#0a62b3", "#62b0ff"),
    "orange": ("#c04f08", "#ff9d52"),
    "green": ("#177e3b", "#4ecb7c"),
    "violet": ("#7f4fdb", "#b897ff"),
    "red": ("#c8202b", "#ff7d75"),
    "paper": ("#fffffe", "#14181c"),
}
PAPER = {name: light for name, (light, _dark) in COLOURS.items()}
_INCHES = (4.7, 3.3)  # as wide as a phone: a plot that is shrunk there has letters too small to read
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": PAPER["mute"],
    "axes.labelcolor": PAPER["ink"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PAPER["line"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "text.color": PAPER["ink"],
    "xtick.color": PAPER["mute"],
    "ytick.color": PAPER["mute"],
    "xtick.labelcolor": PAPER["ink"],
    "ytick.labelcolor": PAPER["ink"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture. name: unique in a page; title, description: also for who cannot see it."""

    name: str
    title: str
    description: str
    svg: str


@contextmanager
def canvas(x: str, y: str, *, inches: tuple[float, float] = _INCHES) -> Iterator[Axes]:
    """Axes with the house's looks, to draw in while the block lasts; `drawn` makes them a plot."""
    with mpl.rc_context(_STYLE):
        axes = Figure(figsize=inches, layout="constrained").subplots()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield axes


def drawn(axes: Axes, name: str, title: str, description: str) -> Plot:
    """The axes as a plot."""
    figure = axes.figure
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # The salt names what is shared within one file: with one for all, two plots in a page would take each other's.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)  # type: ignore[union-attr]
    return Plot(name=name, title=title, description=description, svg=_plain(file.getvalue(), name))


def inline(plot: Plot) -> str:
    """The SVG as part of a page: colours are the CSS variables --NAME."""
    svg = plot.svg
    for name, colour in PAPER.items():
        svg = svg.replace(colour, f"var(--{name})")
    return _told(svg, plot, "")


def standalone(plot: Plot) -> str:
    """The SVG as a file of its own, on white."""
    told = _told(plot.svg, plot, ' xmlns="http://www.w3.org/2000/svg"')
    ground = f'<rect width="100%" height="100%" style="fill: {PAPER["paper"]}"/>'
    return told.replace("</desc>", f"</desc>{ground}", 1) + "\n"


def stylesheet() -> str:
    """The CSS variables, for paper and for a dark screen; who prints gets paper."""
    light, dark = (";".join(f"--{name}:{both[index]}" for name, both in COLOURS.items()) for index in (0, 1))
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _plain(svg: str, name: str) -> str:
    """Only the drawing: no prologue, no style that would reach the page around it, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1">', svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) '[^;\"]*|font-family: '[^;\"]*", _family, svg)
    svg = re.sub(r'id="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _family(match: re.Match[str]) -> str:
    return f"font: {match[1]} sans-serif" if match[1] else "font-family: sans-serif"


def _told(svg: str, plot: Plot, more: str) -> str:
    """The same with the title and the description that a screen reader reads."""
    title, description = f"{plot.name}-title", f"{plot.name}-description"
    opening = f'<svg role="img" aria-labelledby="{title} {description}"{more}'
    words = (
        f'<title id="{title}">{html.escape(plot.title)}</title>'
        f'<desc id="{description}">{html.escape(plot.description)}</desc>'
    )
    return re.sub(r"<svg( [^>]*>)", lambda match: f"{opening}{match[1]}{words}", svg, count=1)
