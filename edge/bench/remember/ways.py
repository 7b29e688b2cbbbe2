"""Policies that only a benchmark needs: leaving where confident, and leaving as dealt.

Source of the first: BranchyNet (Teerapittayanon et al. 2016), an exit's entropy against a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.items import Floats
from edge.policy import Exits
from edge.relevance import ENTROPY
from edge.remember.policy import UNDECIDED, Stop

_STEPS = 201  # places of the knob that are tried
SEED = 20251125


class Confidence:
    """An item leaves at the first exit where the entropy of its similarities to the bank is low enough."""

    def __init__(self, thresholds: Sequence[float]) -> None:
        """(E,) nats, the highest entropy that leaves at each exit; at the last one everything does."""
        self._thresholds = thresholds

    def known(self, count: int) -> Exits | None:  # noqa: ARG002 - see edge.remember.Policy
        """See `Policy.known`."""
        return None

    def decide(self, stop: Stop) -> Exits:
        """See `Policy.decide`."""
        entropies = stop.here.numbers[:, ENTROPY]
        leaves = entropies <= self._thresholds[stop.number]
        if stop.number == len(self._thresholds) - 1:
            leaves[:] = True
        return np.where(leaves, stop.number, UNDECIDED)


class Dealt:
    """Items leave by a given histogram, at random and the same in every run: for what a policy costs alone."""

    def __init__(self, shares: Sequence[float]) -> None:
        self._shares = np.array(shares) / np.sum(shares)
        self._chance = np.random.default_rng(SEED)

    def known(self, count: int) -> Exits | None:
        """See `Policy.known`."""
        made: Exits = self._chance.choice(len(self._shares), size=count, p=self._shares)
        return made

    def decide(self, stop: Stop) -> Exits:
        """See `Policy.decide`: dealt anew; who is dealt a shallower exit leaves here."""
        dealt = self._chance.choice(len(self._shares), size=len(stop.activation), p=self._shares)
        made: Exits = np.maximum(dealt, stop.number)
        return made


def fit_thresholds(entropies: Floats, costs: Floats, wanted: float) -> tuple[float, ...]:
    """Thresholds, the same quantile at every exit, whose mean cost on these items is nearest to `wanted`.

    entropies: (N, E) nats; costs: (E,) shares of full depth's milliseconds
    """
    best: tuple[float, tuple[float, ...]] | None = None
    for share in np.linspace(0, 1, _STEPS):
        thresholds = np.quantile(entropies, share, axis=0)
        away = abs(float(costs[exits_of(entropies, thresholds)].mean()) - wanted)
        if best is None or away < best[0]:
            best = away, tuple(thresholds.tolist())
    assert best is not None  # noqa: S101 - there is more than one step
    return best[1]


def exits_of(entropies: Floats, thresholds: Floats) -> Exits:
    """(N, E) entropies -> (N,) number of the exit where each item leaves."""
    leaves = entropies <= thresholds
    leaves[:, -1] = True
    made: Exits = leaves.argmax(1)
    return made
