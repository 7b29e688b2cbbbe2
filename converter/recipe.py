"""A recipe: everything that a build can be told, from YAML. `recipes/demo.yaml` gives each value and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.decode import load_yaml

DEMO_RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """AdamW under a cosine schedule. dropout and decay as shares; rate: its start."""

    epochs: int
    batch: int
    rate: float
    decay: float
    dropout: float

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ValueError(f"epochs is {self.epochs} and batch {self.batch}: must be at least 1 and 2")
        if self.rate <= 0 or self.decay < 0 or not 0 <= self.dropout < 1:
            raise ValueError("rate must be above 0, decay 0 or more, dropout from 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FullHeadRecipe:
    """The last exit's head and the query's. temperature: where the class-name residual's softmax starts."""

    training: Training
    class_weight: float
    temperature: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitHeadRecipe:
    """The early exits' heads, distilled from the last."""

    training: Training
    cosine_weight: float
    caption_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecipe:
    """cuts: depths where segments end, beside the end; exits: those of them that get a head.

    crops: random crops of each photo beside the plain one; open_crops: the same where only open pictures are at hand
    """

    cuts: tuple[int, ...]
    exits: tuple[int, ...]
    crops: int
    open_crops: int

    def __post_init__(self) -> None:
        if list(self.cuts) != sorted(set(self.cuts)) or not all(1 <= cut <= 15 for cut in self.cuts):
            raise ValueError(f"cuts {list(self.cuts)} must rise and lie within 1 to 15")
        if stray := sorted(set(self.exits) - set(self.cuts)):
            raise ValueError(f"exits {stray} are not among the cuts {list(self.cuts)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """tokens: longest sentence; group: values that share a scale in the INT4 token table."""

    tokens: int
    group: int

    def __post_init__(self) -> None:
        if not 4 <= self.tokens <= 512:
            raise ValueError(f"tokens is {self.tokens}: must be 4 to 512")
        if self.group < 2 or 384 % self.group:
            raise ValueError(f"group is {self.group}: must divide 384")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole build; `seed` and equal packages give equal bytes."""

    model: str
    seed: int
    image: ImageRecipe
    text: TextRecipe
    full_head: FullHeadRecipe
    exit_head: ExitHeadRecipe


def load_recipe(path: Path) -> Recipe:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Recipe, path)
