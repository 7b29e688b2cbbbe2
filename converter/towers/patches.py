"""Vision transformers as towers: layers on tokens, all of one shape, behind a stem of patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from converter.towers.tower import Origin
from converter.towers.transformer import ClassAndMean, LayerParts, Layers, MeanOfTokens, PatchStem, thin
from edge.bundle import ImagePreprocess


class PatchTower:
    """See ItemTower. An activation is (N, T, W): the class token if there is one, then the patches."""

    def __init__(
        self,
        *,
        origin: Origin,
        preprocess: ImagePreprocess,
        stem: PatchStem,
        layers: Sequence[nn.Module],
        parts: Callable[[Any], LayerParts],
        adapted: Sequence[str],
        published: nn.Module | None,
    ) -> None:
        """parts: weights of one of `layers`; adapted: names of the linear maps within it."""
        self.origin, self.preprocess, self.layers = origin, preprocess, layers
        self.published: nn.Module | None = published
        self._stem, self._parts, self._adapted = stem, parts, adapted
        self._pool: nn.Module = ClassAndMean() if stem.classes else MeanOfTokens()

    def stem(self, x: Tensor) -> Tensor:
        y: Tensor = self._stem(x)
        return y

    def shape(self, depth: int) -> tuple[int, ...]:  # noqa: ARG002 - the same at every depth
        return tuple(self._stem.places.shape)

    def segment(self, start: int, end: int) -> nn.Module:
        parts = [self._parts(layer) for layer in self.layers[start:end]]
        return Layers(parts, len(self._stem.places), stem=None if start else self._stem).eval()

    def pool(self, x: Tensor) -> Tensor:
        y: Tensor = self._pool(x)
        return y

    def adapted(self, layer: int) -> list[str]:  # noqa: ARG002 - the same in every layer
        return list(self._adapted)

    def thin(self, x: Tensor, keep: int, picks: Tensor) -> Tensor:
        return thin(x, keep, picks, self._stem.classes)
