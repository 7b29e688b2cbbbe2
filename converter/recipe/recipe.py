"""A recipe: everything that a build can be told, from YAML. The files in `recipes/` give each value and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from converter.recipe.checks import require
from converter.recipe.heads import HeadsRecipe
from converter.recipe.healing import HealRecipe
from converter.recipe.policies import CalibrateRecipe, LabelRecipe, PredictRecipe, VerifyRecipe
from converter.recipe.towers import DataRecipe, ItemRecipe, QueryRecipe
from edge.decode import load_yaml

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole build; `seed` and equal packages give equal figures on one kind of machine.

    heal: None leaves the weights as published
    """

    model: str
    seed: int = 0
    data: DataRecipe
    item: ItemRecipe
    query: QueryRecipe
    heads: HeadsRecipe
    heal: HealRecipe | None = None
    label: LabelRecipe = field(default_factory=LabelRecipe)
    predict: PredictRecipe = field(default_factory=PredictRecipe)
    calibrate: CalibrateRecipe = field(default_factory=CalibrateRecipe)
    verify: VerifyRecipe = field(default_factory=VerifyRecipe)

    def __post_init__(self) -> None:
        require((self.seed >= 0, f"seed is {self.seed}: must be 0 or more"))


def load_recipe(path: Path) -> Recipe:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Recipe, path)
