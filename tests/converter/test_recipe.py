"""A recipe is right when it is loaded, or every mistake in it is told at once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from converter.recipe import RECIPES, Recipe, find_recipe, load_recipe, packaged_recipes, quick
from edge.decode import DecodeError
from edge.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[2]
DEMO, VIT = RECIPES / "demo.yaml", RECIPES / "vit-tiny-flickr8k.yaml"


def changed(shipped: Path, **changes: object) -> dict[str, Any]:
    """A shipped recipe with changes; a key a__b is b within a, which is made where it is not there."""
    recipe: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = recipe
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return recipe


def load(tmp_path: Path, recipe: dict[str, Any]) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return load_recipe(path)


def problems_of(tmp_path: Path, recipe: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, recipe)
    return caught.value.problems


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipe_loads_by_its_name_and_is_told_in_one_sentence(name: str) -> None:
    assert load_recipe(find_recipe(name)).model.startswith(name)
    assert packaged_recipes()[name].endswith(".")


def test_demo_recipe_has_the_exits_that_the_device_leaves_at_and_distils_its_heads() -> None:
    recipe = load_recipe(DEMO)
    assert recipe.model == "demo-efficientnet-lite0-minilm-l6"
    assert recipe.item.exits == (8, 11, 15)
    assert recipe.heads.kind == "distilled"
    assert recipe.heads.full.training.epochs == 24


def test_demo_recipe_says_where_its_settings_were_chosen() -> None:
    text = " ".join(DEMO.read_text(encoding="utf-8").replace("#", "").split())
    assert "train photos that no head had seen" in text
    assert "never on its dev photos" in text
    assert "One choice is not so" in text


def test_transformer_recipe_heals_every_layer_and_pairs_its_heads() -> None:
    recipe = load_recipe(VIT)
    assert recipe.heads.kind == "paired"
    assert recipe.heal is not None
    assert recipe.heal.windows == ((1, 3), (4, 5), (6, 7), (8, 9), (10, 12))
    assert recipe.calibrate.bank == 1500  # a section that the file leaves out has its defaults


def test_typo_is_one_error_with_file_key_and_nearest_key_and_exit_code_2(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, changed(DEMO, heads__crop=3))
    assert str(caught.value) == f"{tmp_path}/recipe.yaml: heads.crop is not a key. Did you mean heads.crops?"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("sead", "sead is not a key. Did you mean seed?"),
        ("heel__rank", "heel is not a key. Did you mean heal?"),
        ("heal__rnak", "heal.rnak is not a key. Did you mean heal.rank?"),
        ("data__helt", "data.helt is not a key. Did you mean data.held?"),
        ("item__exit", "item.exit is not a key. Did you mean item.exits?"),
        ("heads__training__epoch", "heads.training.epoch is not a key. Did you mean heads.training.epochs?"),
        ("label__fold", "label.fold is not a key. Did you mean label.folds?"),
        ("predict__hiden", "predict.hiden is not a key. Did you mean predict.hidden?"),
        ("calibrate__banks", "calibrate.banks is not a key. Did you mean calibrate.bank?"),
        ("verify__cosin", "verify.cosin is not a key. Did you mean verify.cosine?"),
        (
            "query__zzz",
            "query.zzz is not a key; the keys here are checkpoint, formats, group, kind, table, tokens",
        ),
    ],
)
def test_unknown_key_in_any_section_is_answered_with_the_nearest(tmp_path: Path, key: str, problem: str) -> None:
    assert problems_of(tmp_path, changed(VIT, **{key: 1})) == (problem,)


def test_misspelt_key_is_told_as_unknown_and_as_missing(tmp_path: Path) -> None:
    recipe = changed(VIT, item__exists=[3])
    del recipe["item"]["exits"]
    assert problems_of(tmp_path, recipe) == (
        "item.exists is not a key. Did you mean item.exits?",
        "item.exits is missing",
    )


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    recipe = changed(
        VIT,
        seed=-1,
        data__held=0.9,
        item__exits=[4, 3],
        heads__training__dropout=1.0,
        heal__rank="high",
        calibrate__bank=3,
        verify__cosin=0.9,
    )
    assert sorted(problems_of(tmp_path, recipe)) == [
        "calibrate.bank is 3: must be 20 or more",
        "data.held is 0.9: must be from 0.1 to 0.5",
        "heads.training.dropout is 1.0: must be from 0 to below 1",
        "heal.rank is 'high': must be a whole number",
        "item.exits is (4, 3): must rise from 1",
        "verify.cosin is not a key. Did you mean verify.cosine?",
    ]  # of `seed` nothing can be said while a section beside it is wrong


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("seed", -1, "seed is -1: must be 0 or more"),
        ("data__kind", "imagenet", "data.kind is 'imagenet': must be one of flickr8k, coco, clotho, uci-har, memes, pairs, folder, demo, none"),  # noqa: E501
        ("data__held", 0.05, "data.held is 0.05: must be from 0.1 to 0.5"),
        ("item__kind", "resnet", "item.kind is 'resnet': must be one of vit, clip, siglip, efficientnet-lite0"),
        ("item__exits", [0, 3], "item.exits is (0, 3): must rise from 1"),
        ("item__exits", [3, 3], "item.exits is (3, 3): must rise from 1"),
        ("item__cuts", [5, 2], "item.cuts is (5, 2): must rise from 1"),
        ("item__outliers", -1, "item.outliers is -1: must be 0 to 8"),
        ("item__outliers", 9, "item.outliers is 9: must be 0 to 8"),
        ("item__formats", [], "item.formats is empty: must name one or more"),
        ("item__formats", ["int4"], "item.formats[0] is 'int4': must be one of float32, float16, weight-int8, dynamic-int8"),  # noqa: E501
        ("query__tokens", 3, "query.tokens is 3: must be 0, or 4 to 512"),
        ("query__tokens", 513, "query.tokens is 513: must be 0, or 4 to 512"),
        ("query__group", 1, "query.group is 1: must be 2 or more"),
        ("query__table", "int8", "query.table is 'int8': must be one of int4, float16"),
        ("query__formats", [], "query.formats is empty: must name one or more"),
        ("heads__kind", "pared", "heads.kind is 'pared': must be one of distilled, paired, published"),
        ("heads__dimension", 7, "heads.dimension is 7: must be 8 or more"),
        ("heads__hidden", -1, "heads.hidden is -1: must be 0 or more"),
        ("heads__training__epochs", 0, "heads.training.epochs is 0: must be 1 or more"),
        ("heads__training__batch", 1, "heads.training.batch is 1: must be 2 or more"),
        ("heads__training__rate", 0, "heads.training.rate is 0.0: must be above 0"),
        ("heads__training__decay", -0.1, "heads.training.decay is -0.1: must be 0 or more"),
        ("heads__training__dropout", 1, "heads.training.dropout is 1.0: must be from 0 to below 1"),
        ("heal__rank", 0, "heal.rank is 0: must be 1 or more"),
        ("heal__epochs", 0, "heal.epochs is 0: must be 1 or more"),
        ("heal__batch", 1, "heal.batch is 1: must be 2 or more"),
        ("heal__tokens", -1, "heal.tokens is -1: must be 0 or more"),
        ("heal__rate", 0, "heal.rate is 0.0: must be above 0"),
        ("heal__temperature", float("nan"), "heal.temperature is nan: must be above 0"),
        ("heal__precision", "float16", "heal.precision is 'float16': must be one of auto, bfloat16, float32"),
        ("label__folds", 1, "label.folds is 1: must be 2 or more"),
        ("label__survive", 0, "label.survive is 0: must be 1 or more"),
        ("predict__hidden", 0, "predict.hidden is 0: must be 1 or more"),
        ("predict__epochs", 0, "predict.epochs is 0: must be 1 or more"),
        ("predict__nets", 0, "predict.nets is 0: must be 1 or more"),
        ("predict__stray", -1, "predict.stray is -1.0: must be 0 or more"),
        ("predict__dropout", 1, "predict.dropout is 1.0: must be from 0 to below 1"),
        ("calibrate__bank", 19, "calibrate.bank is 19: must be 20 or more"),
        ("calibrate__non_matches", 0, "calibrate.non_matches is 0: must be 1 or more"),
        ("export__layers_per_segment", -1, "export.layers_per_segment is -1: must be 0 or more"),
        ("verify__cosine", 0, "verify.cosine is 0.0: must be above 0 and at most 1"),
        ("verify__recall_loss", 2, "verify.recall_loss is 2.0: must be from 0 to 1"),
    ],
)  # fmt: skip
def test_value_out_of_its_bounds_is_refused_with_the_bounds(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    assert problems_of(tmp_path, changed(VIT, **{key: value})) == (problem,)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("heads__crops", -1, "heads.crops is -1: must be 0 or more"),
        ("heads__open_crops", -1, "heads.open_crops is -1: must be 0 or more"),
        ("heads__full__class_weight", -0.5, "heads.full.class_weight is -0.5: must be 0 or more"),
        ("heads__full__residual", 0, "heads.full.residual is 0.0: must be above 0"),
        ("heads__full__temperature", 0, "heads.full.temperature is 0.0: must be above 0"),
        ("heads__exit__cosine_weight", -1, "heads.exit.cosine_weight is -1.0: must be 0 or more"),
        ("heads__exit__caption_weight", -1, "heads.exit.caption_weight is -1.0: must be 0 or more"),
    ],
)
def test_value_of_distilled_heads_out_of_its_bounds_is_refused(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    assert problems_of(tmp_path, changed(DEMO, **{key: value})) == (problem,)


@pytest.mark.parametrize(
    "windows",
    [
        [[2, 3], [4, 12]],
        [[1, 3], [5, 12]],
        [[1, 3], [3, 12]],
        [[1, 2, 3], [4, 12]],
        [[3, 1]],
        [[1]],
    ],
    ids=str,
)
def test_windows_with_a_gap_an_overlap_or_another_start_are_refused(tmp_path: Path, windows: list[list[int]]) -> None:
    (problem,) = problems_of(tmp_path, changed(VIT, heal__windows=windows))
    assert problem.startswith("heal.windows is (")
    assert problem.endswith(": must be [first, last] layers that follow one another from 1")


def test_healing_that_nothing_teaches_is_refused(tmp_path: Path) -> None:
    recipe = changed(VIT, heal__captions=0, heal__distillation=0)
    assert problems_of(tmp_path, recipe) == ("heal.captions and distillation are 0: one must teach",)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0, "data__held": 0.1, "item__exits": [], "item__cuts": [1], "item__outliers": 8},
        {"data__held": 0.5, "query__tokens": 0, "query__group": 2},
        {"query__tokens": 512, "query__table": "float16"},
        {"heads": {"kind": "published"}},
        {"heads__hidden": 0, "heads__dimension": 8},
        {"heads__training": {"epochs": 1, "batch": 2, "rate": 1e-9, "decay": 0, "dropout": 0}},
        {"heal": None},
        {"export__layers_per_segment": 0},
        {"export__layers_per_segment": 99},
        {"heal": {}},
        {"heal__windows": [[1, 12]], "heal__captions": 0, "heal__tokens": 0},
        {"label__folds": 2, "predict__stray": 0, "calibrate__bank": 20, "verify__cosine": 1, "verify__recall_loss": 0},
    ],
    ids=str,
)
def test_value_at_the_end_of_its_bounds_is_taken(tmp_path: Path, changes: dict[str, object]) -> None:
    load(tmp_path, changed(VIT, **changes))


def test_quick_recipe_is_the_same_without_healing() -> None:
    recipe = load_recipe(VIT)
    assert quick(recipe).heal is None
    assert replace(quick(recipe), heal=recipe.heal) == recipe
    assert quick(load_recipe(DEMO)) == replace(load_recipe(DEMO), heal=None)


def test_recipe_is_found_by_packaged_name_or_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_recipe("demo") == DEMO
    assert find_recipe("my.yaml") == Path("my.yaml")
    assert find_recipe("./recipes/mine") == Path("recipes/mine")
    assert find_recipe("~/mine.yml") == Path.home() / "mine.yml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    assert find_recipe("mine") == Path("mine")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("demos", "did you mean demo?"),
        ("vit-tiny", "did you mean vit-tiny-flickr8k?"),
        ("zzz", f"there are {', '.join(packaged_recipes())}, or name a YAML file"),
    ],
)
def test_unknown_recipe_is_answered_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe(name)
    assert str(caught.value) == f"no recipe is called {name!r}: {hint}"


def test_recipe_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: cannot be read: .*No such file or directory"):
        load_recipe(path)


def test_recipes_load_no_torch() -> None:
    program = "import sys, converter.recipe, converter.stages, converter.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_exits_are_named_or_a_number_of_them_is_asked_for_but_not_both() -> None:
    item = load_recipe(find_recipe("vit-tiny-flickr8k")).item
    assert replace(item, exits=(), choose=4).choose == 4
    with pytest.raises(DecodeError, match=r"^exits is \(3, .*\) and choose 4: name exits or a number$"):
        replace(item, choose=4)
    with pytest.raises(DecodeError, match=r"^choose is -1: must be 0 or more"):
        replace(item, exits=(), choose=-1)
