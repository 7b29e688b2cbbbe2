"""A recipe: everything that a build can be told, from YAML. `recipes/demo.yaml` gives each value and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.decode import DecodeError, load_yaml

DEMO_RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"


def _require(*checks: tuple[bool, str]) -> None:
    """Raises DecodeError with the text of each check that failed; a text starts with its field."""
    if problems := tuple(problem for holds, problem in checks if not holds):
        raise DecodeError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """AdamW under a cosine schedule. dropout and decay as shares; rate: its start."""

    epochs: int
    batch: int
    rate: float
    decay: float
    dropout: float

    def __post_init__(self) -> None:
        _require(
            (self.epochs >= 1, f"epochs is {self.epochs}: must be 1 or more"),
            (self.batch >= 2, f"batch is {self.batch}: must be 2 or more"),
            (self.rate > 0, f"rate is {self.rate}: must be above 0"),
            (self.decay >= 0, f"decay is {self.decay}: must be 0 or more"),
            (0 <= self.dropout < 1, f"dropout is {self.dropout}: must be from 0 to below 1"),
        )


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
        _require(
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
        _require(
            (self.cosine_weight >= 0, f"cosine_weight is {self.cosine_weight}: must be 0 or more"),
            (self.caption_weight >= 0, f"caption_weight is {self.caption_weight}: must be 0 or more"),
        )


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
        cuts, exits = list(self.cuts), list(self.exits)
        within = all(1 <= cut <= 15 for cut in cuts)
        _require(
            (within and cuts == sorted(set(cuts)), f"cuts is {cuts}: must rise and lie within 1 to 15"),
            (exits == sorted(set(exits) & set(cuts)), f"exits is {exits}: must rise and be some of the cuts {cuts}"),
            (self.crops >= 0, f"crops is {self.crops}: must be 0 or more"),
            (self.open_crops >= 0, f"open_crops is {self.open_crops}: must be 0 or more"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """tokens: longest sentence; group: values that share a scale in the INT4 token table."""

    tokens: int
    group: int

    def __post_init__(self) -> None:
        _require(
            (4 <= self.tokens <= 512, f"tokens is {self.tokens}: must be 4 to 512"),
            (self.group >= 2 and 384 % self.group == 0, f"group is {self.group}: must be 2 or more and divide 384"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole build; `seed` and equal packages give equal bytes."""

    model: str
    seed: int
    image: ImageRecipe
    text: TextRecipe
    full_head: FullHeadRecipe
    exit_head: ExitHeadRecipe

    def __post_init__(self) -> None:
        _require((self.seed >= 0, f"seed is {self.seed}: must be 0 or more"))


def load_recipe(path: Path) -> Recipe:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Recipe, path)
