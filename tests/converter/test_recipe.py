"""A recipe is right when it is loaded, or every mistake in it is told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from converter.recipe import DEMO_RECIPE, Recipe, load_recipe
from edge.errors import ConfigError


def changed(**changes: object) -> dict[str, Any]:
    """The shipped recipe with changes; a key a__b is b within a."""
    recipe: dict[str, Any] = yaml.safe_load(DEMO_RECIPE.read_text(encoding="utf-8"))
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = recipe
        for name in sections:
            section = section[name]
        section[key] = value
    return recipe


def load(tmp_path: Path, recipe: dict[str, Any]) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return load_recipe(path)


def refusal_of(tmp_path: Path, recipe: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, recipe)
    return caught.value


def test_shipped_recipe_loads_with_exits_that_the_device_leaves_at() -> None:
    recipe = load_recipe(DEMO_RECIPE)
    assert recipe.model == "demo-efficientnet-lite0-minilm-l6"
    assert recipe.image.exits == (8, 11, 15)
    assert recipe.full_head.training.epochs == 24


def test_shipped_recipe_says_where_its_settings_were_chosen() -> None:
    text = " ".join(DEMO_RECIPE.read_text(encoding="utf-8").replace("#", "").split())
    assert "train photos that no head had seen" in text
    assert "never on its dev photos" in text
    assert "One choice is not so" in text


def test_typo_is_one_error_with_file_key_and_nearest_key_and_exit_code_2(tmp_path: Path) -> None:
    recipe = changed(image__crop=3)
    error = refusal_of(tmp_path, recipe)
    assert str(error) == f"{tmp_path}/recipe.yaml: image.crop is not a key. Did you mean image.crops?"
    assert error.exit_code == 2


def test_typo_deep_in_the_recipe_is_named_with_its_whole_path(tmp_path: Path) -> None:
    problems = refusal_of(tmp_path, changed(full_head__training__epoch=3)).problems
    assert problems == ("full_head.training.epoch is not a key. Did you mean full_head.training.epochs?",)


def test_misspelt_key_is_told_as_unknown_and_as_missing(tmp_path: Path) -> None:
    recipe = changed(text__tokns=32)
    del recipe["text"]["tokens"]
    assert refusal_of(tmp_path, recipe).problems == (
        "text.tokns is not a key. Did you mean text.tokens?",
        "text.tokens is missing",
    )


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    recipe = changed(
        seed=-1,
        image__crops=-1,
        text__tokens=3,
        full_head__training__epochs=0,
        full_head__training__dropout=1.0,
        full_head__temperature="warm",
        exit_head__cosine_weigth=4.0,
    )
    error = refusal_of(tmp_path, recipe)
    assert sorted(error.problems) == [
        "exit_head.cosine_weigth is not a key. Did you mean exit_head.cosine_weight?",
        "full_head.temperature is 'warm': must be a number",
        "full_head.training.dropout is 1.0: must be from 0 to below 1",
        "full_head.training.epochs is 0: must be 1 or more",
        "image.crops is -1: must be 0 or more",
        "text.tokens is 3: must be 4 to 512",
    ]  # of `seed` nothing can be said while a section beside it is wrong
    assert str(error).splitlines() == [f"{tmp_path}/recipe.yaml: {problem}" for problem in error.problems]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("seed", -1, "seed is -1: must be 0 or more"),
        ("image__cuts", [0, 8, 11, 15], "image.cuts is [0, 8, 11, 15]: must rise and lie within 1 to 15"),
        ("image__cuts", [8, 11, 15, 16], "image.cuts is [8, 11, 15, 16]: must rise and lie within 1 to 15"),
        ("image__cuts", [8, 15, 11], "image.cuts is [8, 15, 11]: must rise and lie within 1 to 15"),
        ("image__cuts", [8, 8, 11, 15], "image.cuts is [8, 8, 11, 15]: must rise and lie within 1 to 15"),
        (
            "image__exits",
            [8, 9],
            "image.exits is [8, 9]: must rise and be some of the cuts [3, 5, 8, 11, 15]",
        ),
        (
            "image__exits",
            [11, 8],
            "image.exits is [11, 8]: must rise and be some of the cuts [3, 5, 8, 11, 15]",
        ),
        ("image__crops", -1, "image.crops is -1: must be 0 or more"),
        ("image__open_crops", -1, "image.open_crops is -1: must be 0 or more"),
        ("text__tokens", 3, "text.tokens is 3: must be 4 to 512"),
        ("text__tokens", 513, "text.tokens is 513: must be 4 to 512"),
        ("text__group", 1, "text.group is 1: must be 2 or more and divide 384"),
        ("text__group", 100, "text.group is 100: must be 2 or more and divide 384"),
        ("full_head__class_weight", -0.5, "full_head.class_weight is -0.5: must be 0 or more"),
        ("full_head__residual", 0.0, "full_head.residual is 0.0: must be above 0"),
        ("full_head__temperature", 0.0, "full_head.temperature is 0.0: must be above 0"),
        ("full_head__temperature", float("nan"), "full_head.temperature is nan: must be above 0"),
        ("exit_head__cosine_weight", -1, "exit_head.cosine_weight is -1.0: must be 0 or more"),
        ("exit_head__caption_weight", -1, "exit_head.caption_weight is -1.0: must be 0 or more"),
        ("exit_head__training__epochs", 0, "exit_head.training.epochs is 0: must be 1 or more"),
        ("exit_head__training__batch", 1, "exit_head.training.batch is 1: must be 2 or more"),
        ("exit_head__training__rate", 0, "exit_head.training.rate is 0.0: must be above 0"),
        ("exit_head__training__decay", -0.1, "exit_head.training.decay is -0.1: must be 0 or more"),
        ("exit_head__training__dropout", -0.1, "exit_head.training.dropout is -0.1: must be from 0 to below 1"),
        ("exit_head__training__dropout", 1, "exit_head.training.dropout is 1.0: must be from 0 to below 1"),
    ],
)
def test_value_out_of_its_bounds_is_refused_with_the_bounds(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    assert refusal_of(tmp_path, changed(**{key: value})).problems == (problem,)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0, "image__cuts": [], "image__exits": []},
        {"image__cuts": [1, 15], "image__exits": [], "image__crops": 0, "image__open_crops": 0},
        {"text__tokens": 4, "text__group": 2},
        {"text__tokens": 512, "text__group": 384},
        {"full_head__class_weight": 0, "exit_head__cosine_weight": 0, "exit_head__caption_weight": 0},
        {"exit_head__training": {"epochs": 1, "batch": 2, "rate": 1e-9, "decay": 0, "dropout": 0}},
    ],
)
def test_value_at_the_end_of_its_bounds_is_taken(tmp_path: Path, changes: dict[str, object]) -> None:
    load(tmp_path, changed(**changes))


def test_recipe_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: cannot be read: .*No such file or directory"):
        load_recipe(path)
