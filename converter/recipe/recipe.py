"""A recipe: everything that a build can be told, from YAML. The files in `recipes/` give each value and why."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from pathlib import Path

from converter.recipe.checks import require
from converter.recipe.export import ExportRecipe
from converter.recipe.heads import HeadsRecipe
from converter.recipe.healing import HealRecipe
from converter.recipe.policies import CalibrateRecipe, LabelRecipe, PredictRecipe, VerifyRecipe
from converter.recipe.towers import DataRecipe, ItemRecipe, QueryRecipe
from edge.decode import load_yaml
from edge.errors import UsageError

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The whole build; `seed` and equal packages give equal figures on one kind of machine.

    Milliseconds are measured, so they and what is chosen by them (`item.choose`) may differ.

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
    export: ExportRecipe = field(default_factory=ExportRecipe)
    verify: VerifyRecipe = field(default_factory=VerifyRecipe)

    def __post_init__(self) -> None:
        require((self.seed >= 0, f"seed is {self.seed}: must be 0 or more"))


def load_recipe(path: Path) -> Recipe:
    """Read a YAML file. Raises ConfigError with every problem in it."""
    return load_yaml(Recipe, path)


def quick(recipe: Recipe) -> Recipe:
    """The same without healing: heads and calibration alone, in minutes."""
    return replace(recipe, heal=None)


def packaged_recipes() -> dict[str, str]:
    """The recipes that come with the package: first line of the comment at their top, by name."""
    return {path.stem: _told(path) for path in sorted(RECIPES.glob("*.yaml"))}


def find_recipe(named: str) -> Path:
    """The file of a recipe, given as a path or by the name of a packaged one. Raises UsageError with the nearest."""
    path = Path(named).expanduser()
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1 or path.is_file():
        return path
    names = packaged_recipes()
    if named in names:
        return RECIPES / f"{named}.yaml"
    near = difflib.get_close_matches(named, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}, or name a YAML file"
    raise UsageError(f"no recipe is called {named!r}: {hint}")


def _told(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
