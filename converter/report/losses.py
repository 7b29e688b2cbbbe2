"""A training loss made short enough for a report."""

from __future__ import annotations

from collections.abc import Sequence

from converter.report.figures import LossPoint

POINTS = 60  # fewer hide where the loss fell, more say nothing that a plot of this width shows


def thinned(losses: Sequence[float], points: int = POINTS) -> tuple[LossPoint, ...]:
    """At most `points` means over stretches of equal length (up to one step), each at its last step."""
    count = min(points, len(losses))
    ends = [(index + 1) * len(losses) // count for index in range(count)]
    starts = [0, *ends][:count]
    stretches = (losses[start:end] for start, end in zip(starts, ends, strict=True))
    return tuple(
        LossPoint(step=end, loss=float(sum(stretch) / len(stretch)))
        for end, stretch in zip(ends, stretches, strict=True)
    )
