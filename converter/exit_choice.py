"""Chooses exits: the few depths at which items leave at the least expected cost, exact, from labels and milliseconds.

Source: Reminisce, data-aware exits; that the exits themselves are chosen so is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.errors import UsageError
from edge.items import Floats

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ExitChoice:
    """Chosen among C candidates. exits: their numbers from 0, shallow to deep, the end last; cost: of an item, mean."""

    exits: tuple[int, ...]
    cost: float


def choose_exits(
    survival: npt.NDArray[np.bool_], costs: Floats | Doubles, count: int, refine_cost: float = 0.0
) -> ExitChoice:
    """The `count` exits of least mean cost, the end among them; of equal choices, the shallower.

    survival:    (N, C) whether each validation item is found at each candidate depth, shallow to deep; an item found
                 at one counts as found at every deeper one
    costs:       (C,) milliseconds from the start to each candidate; the last candidate is the end
    refine_cost: milliseconds that an item which left early is expected to cost later, when questions have it finished

    An item leaves at the first chosen exit where it is found; an item that no candidate finds leaves at the first
    chosen one, for riding on buys it nothing. Dynamic programming over the candidate at which the exits so far end:
    O(N C + count C^2). Raises UsageError where there are not so many candidates.
    """
    items, candidates = survival.shape
    if not 1 <= count <= candidates:
        raise UsageError(f"{count} exits are asked for, of {candidates} candidates: ask for 1 to {candidates}")
    found, hopeless = _found(survival)
    leaving = costs.astype(np.float64)
    leaving[:-1] += refine_cost
    best: Doubles = (found + hopeless) * leaving
    befores: list[Counts] = []
    for _ in range(count - 1):
        best, before = _one_more(best, found, leaving)
        befores.append(before)
    exits = [candidates - 1]
    for before in reversed(befores):
        exits.insert(0, int(before[exits[0]]))
    return ExitChoice(tuple(exits), float(best[-1]) / max(items, 1))


def _found(survival: npt.NDArray[np.bool_]) -> tuple[Counts, int]:
    """(C,) how many items each candidate or one before it finds, and how many none does."""
    firsts = survival.argmax(1)[survival.any(1)]
    return np.bincount(firsts, minlength=survival.shape[1]).cumsum(), len(survival) - len(firsts)


def _one_more(best: Doubles, found: Counts, leaving: Doubles) -> tuple[Doubles, Counts]:
    """Least cost (C,) with one exit more, by where the last one stands, and where the one before it does then."""
    ways = best[:, None] + (found[None, :] - found[:, None]) * leaving[None, :]
    ways[np.tril_indices(len(best))] = np.inf  # the one before lies shallower
    befores = ways.argmin(0)
    return ways[befores, np.arange(len(best))], befores
