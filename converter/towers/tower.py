"""What every encoder looks like to the converter: the one interface behind which all checkpoints are opened.

Shapes: N items; an activation is (N, *shape), with the shape of its depth; all tensors float32.
`depth` counts layers done, from 1; depth 0 is what the stem gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from edge.bundle import ImagePreprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where weights come from. licence: SPDX id, or "unknown"; credit: one line for the manifest."""

    name: str
    licence: str
    credit: str


class ItemTower(Protocol):
    """The encoder of what is remembered: a stem, layers one after the other, an exit after any of them.

    preprocess: how a file becomes the stem's input
    layers:     the trainable modules, (N, *shape) -> (N, *shape), in the form of the published weights; healing
                changes their weights in place and `segment` reads them
    published:  the checkpoint's own last part behind the last layer, (N, *shape) -> (N, D) rows of unit L2 norm;
                None where it has none that leads into a space shared with text
    """

    origin: Origin
    preprocess: ImagePreprocess
    layers: Sequence[nn.Module]
    published: nn.Module | None

    def stem(self, x: Tensor) -> Tensor:
        """Preprocessed items (N, ...) -> the activation at depth 0."""

    def shape(self, depth: int) -> tuple[int, ...]:
        """Shape of one item's activation at `depth`."""

    def segment(self, start: int, end: int) -> nn.Module:
        """Layers start + 1 to end as one module in operators that TFLite has; the first (start 0) includes the stem."""

    def pool(self, x: Tensor) -> Tensor:
        """Activation (N, *shape) -> features (N, F) that heads read, in operators that TFLite has."""

    def adapted(self, layer: int) -> list[str]:
        """Names of the linear maps within `layers[layer]` that get a LoRA."""

    def thin(self, x: Tensor, keep: int, picks: Tensor) -> Tensor:
        """A training view of an activation at depth 0 or later with `keep` tokens of each item, at random.

        picks: (N, tokens) random numbers that choose; a tower without tokens returns `x` as it is.
        """


class QueryTower(Protocol):
    """The encoder of questions: embedded rows -> one vector, one segment, never healed.

    segment:   x (N, T, W), and mask (N, T) if `masked`, -> (N, F)
    table:     (vocabulary, W) float32; positions: (T, W) float32, added to the rows
    tokenizer: a Hugging Face tokenizer.json
    published: (N, F) -> (N, D) of unit L2 norm, into the space of the item tower's; None where there is none
    """

    origin: Origin
    segment: nn.Module
    layers: int
    width: int
    features: int
    tokens: int
    masked: bool
    table: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float32]
    tokenizer: Path
    published: nn.Module | None
