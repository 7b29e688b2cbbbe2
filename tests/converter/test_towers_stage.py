"""What cannot become a bundle is told by the first stage, before its sentences are embedded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.console import Console
from converter.recipe import DataRecipe, Recipe, load_recipe
from converter.stages import Context, Order
from converter.steps.towers import towers
from edge.errors import UsageError
from shapes_data import write_shapes
from tiny_build import RECIPE
from tiny_data import sound, write, write_table
from tiny_vit import write_vit

pytestmark = pytest.mark.convert


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    return load_recipe(tmp_path / "tiny.yaml")


def refusal(recipe: Recipe, data: Path, console: Console) -> str:
    """Of the stage, which must have written nothing by then; there is a ViT beside the data."""
    vit, folder = data.parent / "vit", data.parent / "stage"
    for path in (vit, folder):
        path.mkdir()
    write_vit(vit)
    context = Context(out=folder, recipe=recipe, order=Order(checkpoint=str(vit), data=data), console=console)
    with pytest.raises(UsageError) as caught:
        towers(context, folder)
    assert list(folder.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize(("kind", "found"), [("clotho", "sounds"), ("uci-har", "windows of motion")])
def test_data_of_another_modality_by_its_layout_is_refused_before_it_is_read(
    recipe: Recipe, tmp_path: Path, console: Console, kind: str, found: str
) -> None:
    (tmp_path / "data").mkdir()  # empty: whoever reads it finds another mistake
    data = replace(recipe.data, kind=kind)  # type: ignore[arg-type]  # one of the kinds
    assert refusal(replace(recipe, data=data), tmp_path / "data", console) == (
        f"the data (data.kind {kind}) has {found}, and a tower of item.kind vit takes pictures:"
        f" no tower that the converter opens takes {found} yet"
    )


def test_sounds_in_a_table_of_pairs_are_refused_before_the_sentences(
    recipe: Recipe, tmp_path: Path, console: Console
) -> None:
    names = [f"{number:03}.wav" for number in range(220)]
    write(tmp_path / "data", {name: sound(number) for number, name in enumerate(names)})
    splits = ("train",) * 100 + ("validation",) * 60 + ("test",) * 60
    rows = [(name, f"a sound, number {name}", split) for name, split in zip(names, splits, strict=True)]
    write_table(tmp_path / "data" / "pairs.csv", ("item", "text", "split"), *rows)
    told = refusal(replace(recipe, data=DataRecipe(kind="pairs")), tmp_path / "data", console)
    assert told.startswith("the data (data.kind pairs) has sounds, and a tower of item.kind vit takes pictures: ")


def test_windows_that_do_not_fit_the_tower_are_refused_before_the_sentences(
    recipe: Recipe, tmp_path: Path, console: Console
) -> None:
    (tmp_path / "data").mkdir()
    assert recipe.heal
    short = replace(recipe, heal=replace(recipe.heal, windows=((1, 2),)))
    told = refusal(short, write_shapes(tmp_path / "data"), console)
    assert told.startswith("heal.windows is [[1, 2]]: must end at layer 4, the tower's last, ")
    assert "write [[1, 2], [3, 4]], or [] " in told
