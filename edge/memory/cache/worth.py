"""What a cached activation is worth: milliseconds that it spares, times how likely somebody asks for its item.

value = milliseconds to recompute * source * (1 + log2(sightings)) * 2^(-age / HALF_LIFE_S)

What the source is worth is learnt from questions, see demand.py. That people ask for what is recent and what came again
more than for the rest is an assumption, and the numbers below are choices that no measurement made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Shorter, and last week's items go for the cheap ones of today; longer, and age means nothing on a card that fills in a
# month.
HALF_LIFE_S = 7 * 86_400
# Older counts as this old: what is dear to recompute stays in the race, at a thousandth.
_OLDEST_S = 10 * HALF_LIFE_S
Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Why an item's activation should stay.

    recompute_ms: time to run the segments up to where it was cached, decoding included; what it takes in general, for
                  what this item happened to take is noise that counts like days of age
    seen_at:      seconds of Unix time of its last sighting before it was cached
    sightings:    how often the same content had arrived by then; the second counts as much as the first, then ever less
    """

    recompute_ms: float
    seen_at: float
    sightings: int = 1

    @property
    def spared_us(self) -> int:
        """Microseconds to recompute."""
        return round(1e3 * self.recompute_ms)


class Seen(NamedTuple):
    """An item came again: its id, how often it has come by now, and seconds of Unix time of the last time."""

    item: int
    sightings: int
    seen_at: float


def likelihood(sightings: Whole, seen_at: Whole | Real, now: float) -> Real:
    """(N,) each -> (N,): how likely somebody asks for each, against others of its source, whatever it would cost.

    now: seconds of Unix time
    """
    likely: Real = (1 + np.log2(sightings)) * _recency(seen_at, now)
    return likely


def _recency(seen_at: Whole | Real, now: float) -> Real:
    """(N,) seconds of Unix time -> (N,), 1 for what was seen just now.

    A sighting that lies ahead of the clock is as uncertain as one that lies as long behind: either the clock was wrong
    then, or it is now. With a clock that jumped far, all that was stored before it counts as equally old, and is worth
    what it costs.
    """
    age_s = np.minimum(np.abs(now - seen_at), _OLDEST_S)
    recency: Real = 0.5 ** (age_s / HALF_LIFE_S)
    return recency
