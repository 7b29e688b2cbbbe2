"""What every kind of training here shares: shuffled batches, AdamW under a schedule, dropout, InfoNCE."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from converter.heads.runaway import Watch

Progress = Callable[[int], object]


def contrast(rows: Tensor, columns: Tensor, scale: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE of (B, D) against (B, D); pairs of `same` (B, B) are no negatives."""
    scores = scale * rows @ columns.T
    if same is not None:
        scores = scores.masked_fill(same, -1e4)
    target = torch.arange(len(rows))
    return (nn.functional.cross_entropy(scores, target) + nn.functional.cross_entropy(scores.T, target)) / 2


def drop(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout from a generator of its own, so that a build does not depend on what ran before it."""
    if not share:
        return x
    keep = torch.rand(x.shape, generator=generator) >= share
    return x * keep / (1 - share)


def batches(
    rows: int, size: int, epochs: int, generator: torch.Generator, progress: Progress | None = None
) -> Iterator[Tensor]:
    """Shuffled row numbers, `epochs` times over; a last batch that is not full is left out.

    progress: called with 1 after each epoch
    """
    size = min(size, rows)
    for _ in range(epochs):
        order = torch.randperm(rows, generator=generator)
        for start in range(0, rows - size + 1, size):
            yield order[start : start + size]
        if progress is not None:
            progress(1)


def step_count(rows: int, size: int, epochs: int) -> int:
    """How many batches `batches` gives."""
    return epochs * (rows // min(size, rows))


class Descent:
    """AdamW with a rate for each group, 5 % warm-up, then a cosine down to nothing; gradients cut at norm 1.

    plain: the cosine alone, gradients as they are
    """

    def __init__(
        self, groups: Mapping[float, list[nn.Parameter]], decay: float, watch: Watch, *, plain: bool = False
    ) -> None:
        """groups: parameters by their highest rate; watch: knows how many steps there are."""
        self._watch, self._done = watch, 0
        steps = watch.steps
        self._parameters = [parameter for group in groups.values() for parameter in group]
        self._longest = math.inf if plain else 1.0
        self._optimiser = torch.optim.AdamW(
            [{"params": group, "lr": rate} for rate, group in groups.items() if group], weight_decay=decay
        )
        self._schedule: LRScheduler
        if plain:
            self._schedule = CosineAnnealingLR(self._optimiser, steps)
        else:
            self._schedule = LambdaLR(self._optimiser, lambda step: _share(step, steps))

    def step(self, loss: Tensor) -> None:
        """One step down `loss`. Raises RunawayError when it is no number, or a weight is none after the last step."""
        self._done += 1
        self._watch.loss(loss, self._done)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._longest < math.inf:
            nn.utils.clip_grad_norm_(self._parameters, self._longest)
        self._optimiser.step()
        self._schedule.step()
        if self._done == self._watch.steps:
            self._watch.weights(self._parameters)


def _share(step: int, steps: int) -> float:
    """Of the highest rate: a line up over the first twentieth, the cosine down; the lower of the two."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(step, steps) / max(steps, 1))))
