"""Heads for all exits of a tower, in the way that the recipe asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from converter.console import Console
from converter.heads import distilled
from converter.heads.paired import Pair, fit_pair
from converter.heads.pooling import Pool
from converter.recipe import DistilledHeads, HeadsRecipe, PairedHeads, PublishedHeads
from converter.towers.tower import ItemTower, QueryTower
from edge.errors import UsageError

AT_ONCE = 2  # exits whose heads are fitted at the same time


class ItemSide(Protocol):
    """An exit's head: called with the activation (N, *shape), or `embed` with features (N, F) -> (N, D)."""

    def embed(self, features: Tensor) -> Tensor:
        """From features, as `reader` gives them."""


@dataclass(frozen=True, slots=True)
class ExitHeads:
    """Both sides of one exit: the item's, and the question's (N, G) -> (N, D)."""

    item: Any
    query: nn.Module


@dataclass(frozen=True, slots=True)
class Study:
    """What heads are taught with: N items with K captions each.

    features: by depth (V, F), V views of the items, V >= N, the plain ones first
    captions: (N, K, G) features of the query tower; None without
    classes:  (1000, 5, G) of the class texts, for heads that know class names
    """

    features: Mapping[int, Tensor]
    items: int
    captions: Tensor | None
    classes: Tensor | None = None

    def of(self, rows: Tensor) -> Study:
        """The same for some of the items, with all of their views."""
        views = len(next(iter(self.features.values()))) // self.items
        every = torch.cat([rows + view * self.items for view in range(views)])
        features = {depth: one[every] for depth, one in self.features.items()}
        return Study(features, len(rows), self.captions[rows] if self.captions is not None else None, self.classes)


class Published(nn.Module):
    """A checkpoint's own last part as a head: features are embeddings already."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last

    def embed(self, features: Tensor) -> Tensor:
        return features

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(x)
        return y


def published_heads(tower: ItemTower, query: QueryTower, depths: Iterable[int]) -> dict[int, ExitHeads]:
    """The published last parts at every exit. Raises UsageError where a tower has none."""
    if tower.published is None or query.published is None:
        raise UsageError("heads.kind is published, but the towers have no space in common: teach paired heads")
    return {depth: ExitHeads(Published(tower.published), query.published) for depth in depths}


def fit_heads(tower: ItemTower, study: Study, recipe: HeadsRecipe, seed: int, console: Console) -> dict[int, ExitHeads]:
    """Teach heads for each exit that `study` has features of."""
    match recipe:
        case PairedHeads():
            pairs = fit_pairs(tower, study, recipe, seed, console)
            return {depth: ExitHeads(pair.item, pair.query) for depth, pair in pairs.items()}
        case DistilledHeads():
            return _distilled(tower, study, recipe, seed, console)
        case PublishedHeads():
            raise UsageError("heads.kind is published: there is nothing to teach")


def fit_pairs(tower: ItemTower, study: Study, recipe: PairedHeads, seed: int, console: Console) -> dict[int, Pair]:
    """A pair for each exit. Raises UsageError without captions."""
    if study.captions is None:
        raise UsageError("heads.kind is paired, which learns from captions: the data has none")
    captions, pool = study.captions, Pool(tower)
    with (
        console.bar(len(study.features) * recipe.training.epochs, "epochs of heads") as tick,
        _one_thread_each(),
        ThreadPoolExecutor(AT_ONCE, "heads") as threads,
    ):
        fits = {
            depth: threads.submit(
                fit_pair, features, captions, pool, recipe, seed + depth, tick, told=f"the heads at depth {depth}"
            )
            for depth, features in study.features.items()
        }
        try:
            return {depth: fit.result() for depth, fit in fits.items()}
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for the exits at hand, not for all
            raise


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """A head's products are too small for two threads to share; two exits at once gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _distilled(tower: Any, study: Study, recipe: DistilledHeads, seed: int, console: Console) -> dict[int, ExitHeads]:
    *early, last = study.features
    if study.classes is None:
        raise UsageError("heads.kind is distilled, which needs class texts: no tower but efficientnet-lite0 has them")
    features = distilled.Features(
        photos=study.items,
        pooled=study.features[last],
        exits={depth: study.features[depth] for depth in early},
        captions=study.captions,
        classes=study.classes,
    )
    heads = distilled.fit_heads(features, tower.classifier, recipe, seed, console)
    found = {depth: ExitHeads(head, heads.query) for depth, head in zip(early, heads.exits, strict=True)}
    return {**found, last: ExitHeads(heads.full, heads.query)}
