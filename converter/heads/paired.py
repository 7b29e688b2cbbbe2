"""A pair of heads for each exit: one reads the item's activation, one the question's features; captions teach both.

Each exit has a space of its own, so a question is embedded once for each exit that holds items (its granularity): one
small map, not another pass through the text tower. Source: Reminisce, multi-granularity queries; its code, not its
text, tunes the heads: without that early exits find nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converter.heads.forms import unit
from converter.heads.runaway import Watch
from converter.heads.steps import Descent, Progress, batches, contrast, drop, step_count
from converter.recipe import PairedHeads


class ItemHead(nn.Module):
    """Pool, standardise, one or two linear maps, unit norm: (N, *shape) -> (N, D); `embed` starts from features (N, F).

    dropout acts in training alone, by the generator given to `taught`
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, pool: nn.Module, mean: Tensor, scale: Tensor, dimension: int, hidden: int) -> None:
        super().__init__()
        self.pool = pool
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.hidden = nn.Linear(len(mean), hidden) if hidden else None
        self.linear = nn.Linear(hidden or len(mean), dimension)

    def taught(self, features: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
        x = drop((features - self.mean) / self.scale, dropout, generator)
        if self.hidden is not None:
            x = drop(nn.functional.gelu(self.hidden(x)), dropout, generator)
        return unit(self.linear(x))

    def embed(self, features: Tensor) -> Tensor:
        x = (features - self.mean) / self.scale
        if self.hidden is not None:
            x = nn.functional.gelu(self.hidden(x))
        return unit(self.linear(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(self.pool(x))


class GranularityHead(nn.Module):
    """The question's side of one exit: (N, F) features of the query tower -> (N, D)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), dimension)

    def taught(self, features: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
        return unit(self.linear(drop((features - self.mean) / self.scale, dropout, generator)))

    def forward(self, x: Tensor) -> Tensor:
        return unit(self.linear((x - self.mean) / self.scale))


@dataclass(frozen=True, slots=True)
class Pair:
    """Both heads of one exit, and the learned temperature's inverse between them."""

    item: ItemHead
    query: GranularityHead
    scale: nn.Parameter

    def modules(self) -> nn.ModuleList:
        return nn.ModuleList([self.item, self.query])


def new_pair(features: Tensor, captions: Tensor, pool: nn.Module, recipe: PairedHeads, seed: int) -> Pair:
    """An untaught pair, standardised by (N, F) features and (N, K, G) captions."""
    item = ItemHead(pool, features.mean(0), features.std(0) + 1e-4, recipe.dimension, recipe.hidden)
    flat = captions.flatten(0, 1)
    query = GranularityHead(flat.mean(0), flat.std(0) + 1e-4, recipe.dimension)
    generator = torch.Generator().manual_seed(seed)
    for linear in (item.hidden, item.linear, query.linear):
        if linear is not None:
            bound = linear.in_features**-0.5
            linear.weight.data.uniform_(-bound, bound, generator=generator)
            nn.init.zeros_(linear.bias)
    return Pair(item, query, nn.Parameter(torch.tensor(2.66)))


def fit_pair(
    features: Tensor,
    captions: Tensor,
    pool: nn.Module,
    recipe: PairedHeads,
    seed: int,
    progress: Progress,
    *,
    told: str,
) -> Pair:
    """Teach a pair by symmetric InfoNCE, one random caption of each item a step.

    features: (N, F) at the exit; captions: (N, K, G) features of K captions each; progress: called once an epoch;
    told: what the heads are called if they run away (RunawayError)
    """
    pair, training = new_pair(features, captions, pool, recipe, seed), recipe.training
    generator = torch.Generator().manual_seed(seed)
    heads = [*pair.item.parameters(), *pair.query.parameters(), pair.scale]
    steps = step_count(len(features), training.batch, training.epochs)
    watch = Watch(what=told, steps=steps, rate="heads.training.rate")
    descent = Descent({training.rate: heads}, training.decay, watch)
    for rows in batches(len(features), training.batch, training.epochs, generator, progress):
        pick = torch.randint(captions.shape[1], (len(rows),), generator=generator)
        items = pair.item.taught(features[rows], training.dropout, generator)
        texts = pair.query.taught(captions[rows, pick], training.dropout / 2, generator)
        descent.step(contrast(items, texts, pair.scale.exp()))
    for parameter in heads:
        parameter.requires_grad = False
    return pair
