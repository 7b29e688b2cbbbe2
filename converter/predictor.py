"""The nets that say at which exits an item would survive the filter: one early (predictor), or one at each exit (gate).

Small nets, much dropout: of the gain of going on, what is known early explains a few per cent, the rest is noise that a
larger net would learn. Shapes: N items, F features, E exits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from converter.heads.runaway import Watch
from converter.heads.steps import Progress, batches, drop
from converter.recipe import PredictRecipe

_HIDDEN_DROPOUT = 0.3
_FLAT = 1e-5  # a feature that spreads less, beside its mean, is constant: scaled up, its rounding would decide
_PEAK = 3.0  # the one-cycle's highest rate, as a multiple of the recipe's


class SurvivalNet(nn.Module):
    """Standardised features (N, F) -> survival logits (N, E), the mean of several small nets."""

    def __init__(self, features: int, exits: int, recipe: PredictRecipe, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.ModuleList(_linear(features, recipe.hidden, generator) for _ in range(recipe.nets))
        self.last = nn.ModuleList(_linear(recipe.hidden, exits, generator) for _ in range(recipe.nets))

    def taught(self, x: Tensor, net: int, dropout: float, generator: torch.Generator) -> Tensor:
        """Logits of one net, with dropout."""
        hidden = torch.relu(self.first[net](drop(x, dropout, generator)))
        logits: Tensor = self.last[net](drop(hidden, _HIDDEN_DROPOUT, generator))
        return logits

    def joined(self) -> nn.Sequential:
        """The same as one net with all hidden units side by side: two linear maps, which is what its file holds."""
        first: list[Any] = list(self.first)
        last: list[Any] = list(self.last)
        wide = nn.Linear(first[0].in_features, sum(one.out_features for one in first))
        narrow = nn.Linear(wide.out_features, last[0].out_features)
        wide.weight.data = torch.cat([one.weight.data for one in first])
        wide.bias.data = torch.cat([one.bias.data for one in first])
        narrow.weight.data = torch.cat([one.weight.data for one in last], 1) / len(last)
        narrow.bias.data = torch.stack([one.bias.data for one in last]).mean(0)
        return nn.Sequential(wide, nn.ReLU(), narrow)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [last(torch.relu(first(x))) for first, last in zip(self.first, self.last, strict=True)]
        return torch.stack(outputs).mean(0)


class Gate(nn.Module):
    """A survival net that standardises its inputs itself: the file of one exit's gate."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, net: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net((x - self.mean) / self.scale)
        return y


def fit_net(x: Tensor, survival: Tensor, recipe: PredictRecipe, seed: int, progress: Progress, *, told: str) -> Gate:
    """Teach a net on features (N, F) and survival (N, E) in 0 to 1, by soft binary cross-entropy.

    told: what it is called if it runs away (RunawayError)
    """
    mean, spread = x.mean(0), x.std(0)
    scale = torch.where(spread > _FLAT * (1 + mean.abs()), spread, 1.0)
    net = SurvivalNet(x.shape[1], survival.shape[1], recipe, seed)
    standardised = (x - mean) / scale
    size = min(recipe.batch, len(x))
    for number in range(recipe.nets):
        generator = torch.Generator().manual_seed(seed + 1000 * (number + 1))
        parameters = [*net.first[number].parameters(), *net.last[number].parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=recipe.decay)
        steps = recipe.epochs * (len(x) // size)
        watch = Watch(what=told, steps=steps, rate="predict.rate")
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, _PEAK * recipe.rate, total_steps=steps)
        for step, rows in enumerate(batches(len(x), size, recipe.epochs, generator), 1):
            logits = net.taught(standardised[rows], number, recipe.dropout, generator)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, survival[rows])
            watch.loss(loss, step)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            cycle.step()
        watch.weights(parameters)
        progress(1)
    return Gate(mean, scale, net.requires_grad_(requires_grad=False))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    bound = inputs**-0.5
    linear.weight.data.uniform_(-bound, bound, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear
