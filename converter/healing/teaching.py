"""Trains one window: captions and the example of the last exit, at every exit inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converter.heads.forms import unit
from converter.heads.paired import Pair
from converter.heads.steps import Descent, batches, contrast
from converter.healing.activations import run_layers
from converter.healing.lora import layers_of, put_on
from converter.recipe import HealRecipe
from converter.towers.tower import ItemTower
from edge.errors import ReminisceError

MAP_RATE = 2e-3  # of the linear map towards the last exit: it starts from nothing
Progress = Callable[[int], object]


class HealingError(ReminisceError, ArithmeticError):
    """Training ran away; the windows before this one are kept."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What healing learns from, N train items with K captions each.

    captions: (N, K, G) features of the query tower; None without captions
    example:  (N, D) embeddings by the last exit as it was before healing
    """

    captions: Tensor | None
    example: Tensor


@dataclass(frozen=True, slots=True)
class WindowLog:
    """What training one window was like. losses: one a step; precision: of its products."""

    first: int
    last: int
    losses: tuple[float, ...]


def teach_window(
    tower: ItemTower,
    window: tuple[int, int],
    inputs: Tensor,
    lessons: Lessons,
    pairs: Mapping[int, Pair],
    recipe: HealRecipe,
    seed: int,
    progress: Progress,
) -> tuple[object, WindowLog]:
    """Train a LoRA on the layers of `window`; gives them with the LoRA still on, for `lora.merge`.

    inputs: (N, *shape) activations before the window; pairs: heads of the exits inside it, where they start from.
    `pairs` themselves are not changed: heads are fitted anew on healed features, which serves them better.
    Raises HealingError when a loss is no number.
    """
    first, last = window
    adapted = put_on(tower, first, last, recipe.rank, seed)
    lesson = _Lesson(tower, lessons, pairs, recipe, torch.Generator().manual_seed(seed))
    lora = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    rate = recipe.rate if last <= recipe.late_from else recipe.late_rate
    size = min(recipe.batch, len(inputs))
    steps = recipe.epochs * (len(inputs) // size)
    descent = Descent(_groups({rate: lora}, {recipe.head_rate: lesson.heads}, {MAP_RATE: lesson.maps}), 0.01, steps)
    losses = []
    for number, rows in enumerate(batches(len(inputs), size, recipe.epochs, lesson.generator)):
        x = lesson.view(inputs[rows])
        with torch.autocast("cpu", inputs.dtype, enabled=inputs.dtype is torch.bfloat16):
            found = run_layers(layers_of(adapted), x, pairs, first)
        loss = lesson.loss(found, rows)
        if not torch.isfinite(loss):
            raise HealingError(
                f"healing layers {first} to {last}: the loss is {loss.item()} at step {number + 1} of {steps};"
                " the windows before are kept: lower heal.rate and run again"
            )
        descent.step(loss)
        losses.append(loss.item())
        progress(1)
    return adapted, WindowLog(first, last, tuple(losses))


def _groups(*groups: dict[float, list[nn.Parameter]]) -> dict[float, list[nn.Parameter]]:
    """Groups of the same rate become one."""
    joined: dict[float, list[nn.Parameter]] = {}
    for group in groups:
        for rate, parameters in group.items():
            joined.setdefault(rate, []).extend(parameters)
    return joined


class _Lesson:
    """The losses of one window, and the heads that are trained along with it and thrown away."""

    def __init__(
        self,
        tower: ItemTower,
        lessons: Lessons,
        pairs: Mapping[int, Pair],
        recipe: HealRecipe,
        generator: torch.Generator,
    ) -> None:
        self._tower, self._lessons, self._recipe, self.generator = tower, lessons, recipe, generator
        self._pairs = {depth: _trainable(pair) for depth, pair in pairs.items()}
        dimension = lessons.example.shape[1]
        self._maps = {depth: _new_map(len(pair.item.mean), dimension, generator) for depth, pair in pairs.items()}
        self.heads = [p for pair in self._pairs.values() for p in (*pair.modules().parameters(), pair.scale)]
        self.maps = [parameter for linear in self._maps.values() for parameter in linear.parameters()]

    def view(self, x: Tensor) -> Tensor:
        """A random share of each item's tokens: the only augmentation, and a third of the work."""
        if not self._recipe.tokens or x.dim() != 3 or x.shape[1] - 1 <= self._recipe.tokens:
            return x
        picks = torch.rand(len(x), x.shape[1] - 1, generator=self.generator)
        return self._tower.thin(x, self._recipe.tokens, picks)

    def loss(self, found: Mapping[int, Tensor], rows: Tensor) -> Tensor:
        losses = []
        for depth, x in found.items():
            features = self._tower.pool(x.float())
            if self._lessons.captions is not None and self._recipe.captions:
                losses.append(self._recipe.captions * self._caption_loss(depth, features, rows))
            if self._recipe.distillation:
                losses.append(self._recipe.distillation * self._example_loss(depth, features, rows))
        return torch.stack(losses).sum()

    def _caption_loss(self, depth: int, features: Tensor, rows: Tensor) -> Tensor:
        """Item against its caption and those of the batch and of further items; caption against the batch's items."""
        captions, pair = self._lessons.captions, self._pairs[depth]
        assert captions is not None  # noqa: S101 - asked before
        items = pair.item.embed(features)
        pick = torch.randint(captions.shape[1], (len(rows),), generator=self.generator)
        texts = pair.query(captions[rows, pick])
        both = contrast(items, texts, pair.scale.exp())
        others = torch.randperm(len(captions), generator=self.generator)[: self._recipe.negatives]
        others = others[~torch.isin(others, rows)]
        further = pair.query(
            captions[others, torch.randint(captions.shape[1], (len(others),), generator=self.generator)]
        )
        scores = pair.scale.exp() * items @ torch.cat([texts, further]).T
        return (both + nn.functional.cross_entropy(scores, torch.arange(len(rows)))) / 2

    def _example_loss(self, depth: int, features: Tensor, rows: Tensor) -> Tensor:
        """Each item must be closer to its own embedding by the last exit than to any other item's."""
        pair = self._pairs[depth]
        near = unit(self._maps[depth]((features - pair.item.mean) / pair.item.scale))
        return nn.functional.cross_entropy(near @ self._lessons.example.T / self._recipe.temperature, rows)


def _trainable(pair: Pair) -> Pair:
    import copy  # noqa: PLC0415

    mine = copy.deepcopy(pair)
    for parameter in (*mine.modules().parameters(), mine.scale):
        parameter.requires_grad_(requires_grad=True)
    return mine


def _new_map(features: int, dimension: int, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(features, dimension)
    bound = features**-0.5
    linear.weight.data.uniform_(-bound, bound, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear
