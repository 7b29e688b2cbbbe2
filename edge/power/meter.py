"""What every source of power figures has in common.

A figure carries its kind, and figures of two kinds are never added up:

    measured_board  a sensor on the input of the board, or its battery
    measured_rails  sensors on some of its supplies: what they leave out is not known
    corrected       measured_rails, scaled to the board by somebody's fit
    estimated       processor time times the watts of the board's profile
    none            nothing at all
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from edge.errors import MeterError

Kind: TypeAlias = Literal["measured_board", "measured_rails", "corrected", "estimated", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_W = 1_000.0  # no board that this runs on takes more: a reading beyond it is of a broken bus, not of a load


@dataclass(frozen=True, slots=True)
class Watts:
    """Power at this moment, or averaged by the sensor since its last value."""

    value: float


@dataclass(frozen=True, slots=True)
class Joules:
    """A counter that never goes back while its meter is in use; only differences of two readings mean something."""

    total: float


Reading: TypeAlias = "Watts | Joules"


class Meter(Protocol):
    """One source of power figures. Used by one thread."""

    @property
    def kind(self) -> Kind: ...

    @property
    def source(self) -> str:
        """Which sensor, where, and what scales its figures; for people."""
        ...

    @property
    def interval_s(self) -> float:
        """Reading more often than this brings nothing new, or costs too much."""
        ...

    def read(self) -> Reading:
        """One look. Raises MeterError when the sensor is gone, may not be read, or says what cannot be."""
        ...


def plausible(watts: float, source: str) -> Watts:
    """Raises MeterError on what no board can take: below nothing, beyond MOST_W, not a number."""
    if not (math.isfinite(watts) and 0 <= watts <= MOST_W):
        hint = ": are the two sides of its shunt swapped?" if watts < 0 else ""
        raise MeterError(f"{source} says {watts:.3f} W, which cannot be{hint}")
    return Watts(watts)
