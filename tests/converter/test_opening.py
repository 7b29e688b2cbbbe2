"""A recipe's towers, opened; what they lack is told before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter.recipe import RECIPES, ItemRecipe, QueryRecipe, load_recipe
from converter.towers import opening
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.random_checkpoint import write_random
from edge.errors import UsageError

pytestmark = pytest.mark.convert


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "clip"
    write_random(folder, "clip-vit-b32", layers=2)
    return folder


@pytest.mark.parametrize(
    ("exits", "cuts", "said"),
    [
        ((1, 3), (), "item.exits names depth 3: the tower has 2 layers"),
        ((1,), (2, 5, 7), "item.cuts names depth 5: the tower has 2 layers"),
    ],
)
def test_exit_or_cut_deeper_than_the_tower_is_refused_with_its_depth(
    folder: Path, exits: tuple[int, ...], cuts: tuple[int, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=f"^{said}$") as caught:
        open_item_tower(ItemRecipe(kind="clip", exits=exits, cuts=cuts), folder)
    assert caught.value.exit_code == 2


def test_demo_tower_is_as_deep_as_its_blocks() -> None:
    assert len(open_item_tower(ItemRecipe(kind="efficientnet-lite0", exits=(16,)), None).layers) == 16
    with pytest.raises(UsageError, match=r"^item\.exits names depth 17: the tower has 16 layers$"):
        open_item_tower(ItemRecipe(kind="efficientnet-lite0", exits=(17,)), None)


def test_folder_of_the_command_line_goes_before_the_recipes(folder: Path) -> None:
    recipe = ItemRecipe(kind="clip", exits=(1,), checkpoint="/no/such/folder")
    assert open_item_tower(recipe, folder).origin.name == "clip"
    with pytest.raises(UsageError, match=r"^/no/such/folder is not a folder"):
        open_item_tower(recipe, None)


def test_folder_may_stand_in_the_recipe(folder: Path) -> None:
    assert open_query_tower(QueryRecipe(kind="clip", checkpoint=str(folder)), None).layers == 2


@pytest.mark.parametrize("kind", ["clip", "siglip", "vit"])
def test_checkpoint_that_nobody_names_is_asked_for(kind: Any) -> None:
    said = f"^no checkpoint of a {kind} model is named: use --checkpoint DIR, or set it in the recipe$"
    with pytest.raises(UsageError, match=said):
        open_item_tower(ItemRecipe(kind=kind, exits=(1,)), None)


def test_folder_of_another_family_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a model of type 'clip': this recipe wants 'siglip'$"):
        open_item_tower(ItemRecipe(kind="siglip", exits=(1,)), folder)


def test_random_is_a_checkpoint_of_which_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def two_layers(folder: Path, name: str) -> None:
        made.append(folder)
        write_random(folder, name, layers=2)

    monkeypatch.setattr(opening, "write_random", two_layers)
    item = open_item_tower(ItemRecipe(kind="clip", exits=(1,), checkpoint="random"), None)
    query = open_query_tower(QueryRecipe(kind="clip", checkpoint="random"), None)
    assert item.origin.name == query.origin.name == "clip-vit-b32-random"
    assert item.origin.licence == "cc0-1.0"
    assert [folder.exists() for folder in made] == [False, False]
    assert query.tokenizer.is_file()
    with torch.no_grad():  # the weights are still there
        assert item.segment(0, 1)(torch.zeros(1, 224, 224, 3)).isfinite().all()


def test_random_vit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^checkpoint is 'random': a vit tower has no random weights, name a folder$"):
        open_item_tower(ItemRecipe(kind="vit", exits=(1,), checkpoint="random"), None)


def test_clip_recipes_differ_in_nothing_but_name_and_checkpoint() -> None:
    own, random = (load_recipe(RECIPES / f"{name}.yaml") for name in ("clip-vit-b32", "clip-vit-b32-random"))
    assert (own.model, random.model) == ("clip-vit-b32", "clip-vit-b32-random")
    assert (random.item.checkpoint, random.query.checkpoint) == ("random", "random")
    assert own.item.checkpoint == own.query.checkpoint == ""
    assert (own.item.exits, own.query.tokens, own.heads) == (random.item.exits, random.query.tokens, random.heads)
    assert own.data.kind == random.data.kind == "none"
    assert own.heal is random.heal is None
