"""Trains one window: captions and the example of the last exit, at every exit inside it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from peft import PeftModel
from torch import Tensor, nn

from converter.heads.forms import unit
from converter.heads.paired import Pair
from converter.heads.runaway import Watch
from converter.heads.steps import Descent, Progress, batches, step_count
from converter.healing.activations import run_layers
from converter.healing.lora import layers_of, put_on, take_off
from converter.recipe import HealRecipe
from converter.towers.tower import ItemTower
from edge.errors import UsageError

DECAY = 0.01  # of all weights in training
MAP_RATE = 2e-3  # of the linear map towards the last exit: it starts from nothing


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
    """What training one window was like. losses: one a step."""

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
) -> tuple[PeftModel, WindowLog]:
    """Train a LoRA on the layers of `window`; gives them with the LoRA still on, for `lora.merge`.

    inputs: (N, *shape) activations before the window, in the precision of the products; pairs: heads of the exits
    inside it, where they start from; progress: called once a step.
    `pairs` themselves are not changed: heads are fitted anew on healed features, which serves them better.
    Raises RunawayError when a loss or a weight is no number, and UsageError when there is nothing to learn from; the
    tower is then as it was.
    """
    first, last = window
    _check_lessons(window, lessons, pairs, recipe)
    adapted = put_on(tower, first, last, recipe.rank, seed)
    course = _Course(adapted, window, _Lesson(tower, lessons, pairs, recipe, seed), recipe, len(inputs))
    try:
        losses = tuple(course.losses(inputs, progress))
    except BaseException:
        take_off(adapted, tower, first)
        raise
    return adapted, WindowLog(first, last, losses)


def _check_lessons(window: tuple[int, int], lessons: Lessons, pairs: Mapping[int, Pair], recipe: HealRecipe) -> None:
    named = f"healing layers {window[0]} to {window[1]}"
    if not pairs:
        raise UsageError(f"{named}: there is no exit among them to learn at: end heal.windows at exits")
    if lessons.captions is None and not recipe.distillation:
        raise UsageError(f"{named}: heal.distillation is 0 and the data has no captions: one must teach")


class _Course:
    """The steps of one window."""

    def __init__(
        self, adapted: PeftModel, window: tuple[int, int], lesson: _Lesson, recipe: HealRecipe, items: int
    ) -> None:
        self._layers, self._window, self._lesson, self._recipe = layers_of(adapted), window, lesson, recipe
        lora = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        groups = _groups({recipe.rate: lora}, {recipe.head_rate: lesson.heads}, {MAP_RATE: lesson.maps})
        self._descent = Descent(groups, DECAY, _watch(window, recipe, items))

    def losses(self, inputs: Tensor, progress: Progress) -> Iterator[float]:
        """Train; the loss of each step."""
        recipe, lesson = self._recipe, self._lesson
        for rows in batches(len(inputs), recipe.batch, recipe.epochs, lesson.generator):
            loss = lesson.loss(self._found(lesson.view(inputs[rows])), rows)
            self._descent.step(loss)
            progress(1)
            yield loss.item()

    def _found(self, x: Tensor) -> dict[int, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype is torch.bfloat16):
            return run_layers(self._layers, x, self._lesson.depths, self._window[0])


def _watch(window: tuple[int, int], recipe: HealRecipe, items: int) -> Watch:
    first, last = window
    return Watch(
        what=f"healing layers {first} to {last}",
        steps=step_count(items, recipe.batch, recipe.epochs),
        rate="heal.rate",
    )


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
        seed: int,
    ) -> None:
        self._tower, self._lessons, self._recipe = tower, lessons, recipe
        self.generator = generator = torch.Generator().manual_seed(seed)
        self._pairs = {depth: _trainable(pair) for depth, pair in pairs.items()}
        dimension = lessons.example.shape[1]
        self._maps = {depth: _new_map(len(pair.item.mean), dimension, generator) for depth, pair in pairs.items()}
        self.heads = [p for pair in self._pairs.values() for p in (*pair.modules().parameters(), pair.scale)]
        self.maps = [parameter for linear in self._maps.values() for parameter in linear.parameters()]

    @property
    def depths(self) -> Collection[int]:
        return self._pairs.keys()

    def view(self, x: Tensor) -> Tensor:
        """A random share of each item's tokens: the only augmentation, and a third of the work."""
        if not self._recipe.tokens or x.dim() != 3 or x.shape[1] - 1 <= self._recipe.tokens:
            return x
        picks = torch.rand(len(x), x.shape[1] - 1, generator=self.generator)
        return self._tower.thin(x, self._recipe.tokens, picks)

    def loss(self, found: Mapping[int, Tensor], rows: Tensor) -> Tensor:
        """Of all exits in the window, summed. found: their activations, of the items `rows`."""
        losses = []
        for depth, x in found.items():
            features = self._tower.pool(x.float())
            if self._lessons.captions is not None and self._recipe.captions:
                losses.append(self._recipe.captions * self._caption_loss(self._lessons.captions, depth, features, rows))
            if self._recipe.distillation:
                losses.append(self._recipe.distillation * self._example_loss(depth, features, rows))
        return torch.stack(losses).sum()

    def _caption_loss(self, captions: Tensor, depth: int, features: Tensor, rows: Tensor) -> Tensor:
        """Item against its caption, those of the batch and of further items; caption against the batch's items."""
        pair = self._pairs[depth]
        scale, items, texts = pair.scale.exp(), pair.item.embed(features), pair.query(self._told(captions, rows))
        others = torch.randperm(len(captions), generator=self.generator)[: self._recipe.negatives]
        others = others[~torch.isin(others, rows)]
        further = pair.query(self._told(captions, others))
        right = torch.arange(len(rows))
        to_texts = nn.functional.cross_entropy(scale * items @ torch.cat([texts, further]).T, right)
        return (to_texts + nn.functional.cross_entropy(scale * texts @ items.T, right)) / 2

    def _told(self, captions: Tensor, rows: Tensor) -> Tensor:
        """(B, G) one caption of each of `rows`, at random."""
        return captions[rows, torch.randint(captions.shape[1], (len(rows),), generator=self.generator)]

    def _example_loss(self, depth: int, features: Tensor, rows: Tensor) -> Tensor:
        """Each item must be closer to its own embedding by the last exit than to any other item's."""
        pair = self._pairs[depth]
        near = unit(self._maps[depth]((features - pair.item.mean) / pair.item.scale))
        return nn.functional.cross_entropy(near @ self._lessons.example.T / self._recipe.temperature, rows)


def _trainable(pair: Pair) -> Pair:
    mine = copy.deepcopy(pair)
    for parameter in (*mine.modules().parameters(), mine.scale):
        parameter.requires_grad = True
    return mine


def _new_map(features: int, dimension: int, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(features, dimension)
    bound = features**-0.5
    linear.weight.data.uniform_(-bound, bound, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear
