"""Training that runs away ends at the step where it does, with what to change; no later stage meets its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from edge.errors import ReminisceError


class RunawayError(ReminisceError, ArithmeticError):
    """A loss or a weight is no number; the stages before are kept, this one begins again with another rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Looks at one training's numbers. All checks raise RunawayError.

    what:  is trained, as people call it; steps: in all; rate: the recipe's key to lower
    kept:  what the next run need not do again
    """

    what: str
    steps: int
    rate: str
    kept: str = "the stages before are kept"

    def loss(self, loss: Tensor, step: int) -> None:
        """Before step number `step`, from 1."""
        if not torch.isfinite(loss):
            self._refuse(f"the loss is {loss.item()} at step {step} of {self.steps}")

    def weights(self, weights: Iterable[Tensor]) -> None:
        """After the last step, which no further loss looks at."""
        if not all(torch.isfinite(one).all() for one in weights):
            self._refuse(f"a weight is no number after the last of {self.steps} steps")

    def _refuse(self, told: str) -> None:
        raise RunawayError(f"{self.what}: {told}: lower {self.rate} and run again, {self.kept}")
