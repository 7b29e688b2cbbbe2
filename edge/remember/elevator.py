"""The elevator batch: items ride up the tower together, and each leaves at its exit; the rest ride on.

Source: Reminisce, early exiting with a batch that shrinks. Shapes: N items, D the shared space. All tensors float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from edge.bank import Banks, offsets_of
from edge.bundle import Exit
from edge.items import Floats
from edge.policy import Exits
from edge.relevance import Profile
from edge.remember.policy import UNDECIDED, Policy, Stop
from edge.runtime import Activation, TowerRunner

_ENTERING = 4  # items; fewer would have the compute thread wait for this one more often


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """One item that left.

    place:      which of the batch it was, counted from 0
    exit:       where; `activation` is (1, ...) and resumes at the segment behind it
    embedding:  (D,) of unit L2 norm
    offset:     of its calibrated scores at that exit; 0 where nothing is calibrated
    """

    place: int
    exit: Exit
    embedding: Floats
    offset: float
    activation: Activation


class Elevator:
    """Takes batches of items up the tower, as far as the policy lets each."""

    def __init__(self, tower: TowerRunner, policy: Policy, banks: Banks) -> None:
        self._tower, self._policy, self._banks = tower, policy, banks

    def ride(self, arrived: Iterable[Activation]) -> list[Left]:
        """N items before the first segment, one each -> the same in the order in which they left.

        They are taken as they get through the first segment: what nobody else holds is free then.
        """
        batch = self._enter(arrived)
        riders = np.arange(len(batch.tensor))
        planned = self._policy.known(len(riders))
        before: Profile | None = None
        left: list[Left] = []
        for number, place in enumerate(self._tower.spec.exits):
            if planned is not None and not (planned == number).any():
                continue
            batch = self._tower.advance(batch, place.segment)
            embeddings = here = None
            if planned is None:
                embeddings = self._tower.embed(batch, place)
                here = self._banks.profile(embeddings, place)
                planned = self._policy.decide(Stop(number, batch.tensor, here, before))
            out, on = planned == number, planned != number
            if out.any():
                leaving = _only(batch, out)
                if embeddings is None or here is None:
                    vectors = self._tower.embed(leaving, place)
                    offsets = self._banks.offsets(vectors, place)
                else:
                    vectors, offsets = embeddings[out], offsets_of(here.numbers[out], place)
                left += _left(riders[out], leaving, place, vectors, offsets)
            if not on.any():
                break
            batch, riders = _only(batch, on), riders[on]
            before = Profile(here.sims[on], here.numbers[on]) if here else None
            planned = None if (planned[on] == UNDECIDED).all() else planned[on]
        return left

    def _enter(self, arrived: Iterable[Activation]) -> Activation:
        """The first segment, a few at a time: pixels are the largest of all that a batch holds."""
        rest, done = iter(arrived), []
        while some := [item.tensor for item in islice(rest, _ENTERING)]:
            done.append(self._tower.advance(Activation(np.concatenate(some), 0, {}), 0).tensor)
        return Activation(np.concatenate(done), 1, {})


def _only(batch: Activation, kept: npt.NDArray[np.bool_]) -> Activation:
    return batch if kept.all() else Activation(batch.tensor[kept], batch.segment, batch.extra)


def _left(riders: Exits, batch: Activation, place: Exit, embeddings: Floats, offsets: Floats) -> Iterator[Left]:
    for row, (rider, embedding, offset) in enumerate(zip(riders, embeddings, offsets, strict=True)):
        own = Activation(batch.tensor[row : row + 1], batch.segment, batch.extra)
        yield Left(int(rider), place, embedding, float(offset), own)
