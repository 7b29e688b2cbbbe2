"""The manifest names everyone whose work a bundle is made of, and the strictest licence among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.credits import attribution, licence
from converter.recipe import RECIPES, DataRecipe, Recipe, load_recipe
from converter.towers.tower import Origin

pytestmark = pytest.mark.convert
IMAGES = Origin(name="images", licence="Apache-2.0", credit="weights of the image tower")
TEXTS = Origin(name="texts", licence="MIT", credit="weights of the text tower")


def of_licence(name: str) -> Origin:
    return replace(IMAGES, licence=name)


@pytest.fixture
def demo() -> Recipe:
    return load_recipe(RECIPES / "demo.yaml")


def with_data(recipe: Recipe, kind: str, credit: str = "") -> Recipe:
    return replace(recipe, data=DataRecipe(kind=kind, credit=credit))  # type: ignore[arg-type]  # one of the kinds


def test_demo_bundle_names_weights_class_texts_and_pictures(demo: Recipe) -> None:
    images, texts, classes, pictures = attribution(demo, (IMAGES, TEXTS), 66)
    assert (images, texts) == (IMAGES.credit, TEXTS.credit)
    assert classes.startswith("Class texts: WordNet 3.0 (WordNet licence) and torchvision")
    assert pictures == "Heads learnt from the pictures of edge/demo/pictures, see CREDITS.md there"


def test_photos_of_flickr8k_are_counted_and_cited(demo: Recipe) -> None:
    *_, photos = attribution(with_data(demo, "flickr8k"), (IMAGES, TEXTS), 6000)
    assert photos.startswith("Heads learnt from 6,000 train photos of Flickr8k and their captions (M. Hodosh,")
    assert photos.endswith("; photos belong to their Flickr users; research use")


def test_model_whose_towers_come_from_one_checkpoint_names_it_once(demo: Recipe) -> None:
    assert attribution(with_data(demo, "none"), (IMAGES, IMAGES), 0)[0::2] == (IMAGES.credit,)


def test_recipe_credits_data_of_its_own(demo: Recipe) -> None:
    *_, counted, credit = attribution(with_data(demo, "pairs", "photos by the family"), (IMAGES, TEXTS), 1200)
    assert counted == "Learnt from 1,200 items of the kind pairs"
    assert credit == "photos by the family"


def test_heads_that_read_no_class_texts_do_not_name_them() -> None:
    recipe = load_recipe(RECIPES / "vit-tiny-flickr8k.yaml")
    assert not [line for line in attribution(recipe, (IMAGES, TEXTS), 6000) if "WordNet" in line]


@pytest.mark.parametrize(
    ("names", "bundles"),
    [
        (("Apache-2.0", "MIT"), "Apache-2.0"),
        (("apache-2.0", "mit"), "Apache-2.0"),  # as model cards write them
        (("cc0-1.0", "cc0-1.0"), "Apache-2.0"),
        (("MIT", "cc-by-nc-4.0"), "cc-by-nc-4.0"),
        (("cc-by-nc-4.0", "unknown"), "unknown"),
        (("unknown", "MIT"), "unknown"),
    ],
)
def test_licence_is_the_strictest_of_the_weights_and_unknown_where_one_is(names: tuple[str, ...], bundles: str) -> None:
    assert licence(tuple(of_licence(name) for name in names)) == bundles
