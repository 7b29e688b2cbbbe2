"""Recipes: what a build can be told. Loads no torch, so that a typo is told before it is waited for."""

from converter.recipe.export import ExportRecipe
from converter.recipe.heads import (
    DistilledHeads,
    ExitHeadRecipe,
    FullHeadRecipe,
    HeadsRecipe,
    PairedHeads,
    PublishedHeads,
    Training,
)
from converter.recipe.healing import HealRecipe
from converter.recipe.policies import CalibrateRecipe, LabelRecipe, PredictRecipe, VerifyRecipe
from converter.recipe.recipe import RECIPES, Recipe, find_recipe, load_recipe, packaged_recipes, quick
from converter.recipe.towers import DataRecipe, Format, ItemRecipe, QueryRecipe

__all__ = [
    "RECIPES",
    "CalibrateRecipe",
    "DataRecipe",
    "DistilledHeads",
    "ExitHeadRecipe",
    "ExportRecipe",
    "Format",
    "FullHeadRecipe",
    "HeadsRecipe",
    "HealRecipe",
    "ItemRecipe",
    "LabelRecipe",
    "PairedHeads",
    "PredictRecipe",
    "PublishedHeads",
    "QueryRecipe",
    "Recipe",
    "Training",
    "VerifyRecipe",
    "find_recipe",
    "load_recipe",
    "packaged_recipes",
    "quick",
]
