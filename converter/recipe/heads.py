"""What a recipe says of the heads: how each exit gets its map into the shared space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from converter.recipe.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """AdamW under a schedule. dropout and decay as shares; rate: its highest."""

    epochs: int
    batch: int
    rate: float
    decay: float
    dropout: float

    def __post_init__(self) -> None:
        require(
            (self.epochs >= 1, f"epochs is {self.epochs}: must be 1 or more"),
            (self.batch >= 2, f"batch is {self.batch}: must be 2 or more"),
            (self.rate > 0, f"rate is {self.rate}: must be above 0"),
            (self.decay >= 0, f"decay is {self.decay}: must be 0 or more"),
            (0 <= self.dropout < 1, f"dropout is {self.dropout}: must be from 0 to below 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedHeads:
    """A pair of heads for each exit, one for items and one for questions, taught by captions.

    hidden: width of the middle layer of the item's head; 0 makes it one linear map
    """

    kind: Literal["paired"]
    dimension: int
    hidden: int
    training: Training

    def __post_init__(self) -> None:
        require(
            (self.dimension >= 8, f"dimension is {self.dimension}: must be 8 or more"),
            (self.hidden >= 0, f"hidden is {self.hidden}: must be 0 or more"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedHeads:
    """The checkpoint's own last part at every exit; nothing is taught."""

    kind: Literal["published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullHeadRecipe:
    """The last exit's head and the query's.

    residual: weight of the class names beside the trained map; temperature: where their softmax starts
    """

    training: Training
    class_weight: float
    residual: float
    temperature: float

    def __post_init__(self) -> None:
        require(
            (self.class_weight >= 0, f"class_weight is {self.class_weight}: must be 0 or more"),
            (self.residual > 0, f"residual is {self.residual}: must be above 0"),
            (self.temperature > 0, f"temperature is {self.temperature}: must be above 0"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitHeadRecipe:
    """The early exits' heads, distilled from the last."""

    training: Training
    cosine_weight: float
    caption_weight: float

    def __post_init__(self) -> None:
        require(
            (self.cosine_weight >= 0, f"cosine_weight is {self.cosine_weight}: must be 0 or more"),
            (self.caption_weight >= 0, f"caption_weight is {self.caption_weight}: must be 0 or more"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilledHeads:
    """One space for all exits: a last exit that knows class names, and early exits that follow its example.

    crops: random crops of each photo beside the plain one; open_crops: the same without captioned data
    """

    kind: Literal["distilled"]
    full: FullHeadRecipe
    exit: ExitHeadRecipe
    crops: int
    open_crops: int

    def __post_init__(self) -> None:
        require(
            (self.crops >= 0, f"crops is {self.crops}: must be 0 or more"),
            (self.open_crops >= 0, f"open_crops is {self.open_crops}: must be 0 or more"),
        )


HeadsRecipe = PairedHeads | PublishedHeads | DistilledHeads
