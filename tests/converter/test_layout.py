"""Where the files of a bundle lie: segments end at exits and cuts, exits that share a space share a head."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter import layout
from converter.recipe import RECIPES, ExportRecipe, QueryRecipe, load_recipe
from converter.towers import efficientnet_lite, minilm
from edge.bundle import RUNTIMES, Bundle, Model, TextPreprocess, Tower
from learnt_small import EXITS, FEATURES, SENTENCE, Small, small_recipe, word_tower
from tiny_vit import LAYERS, SIDE, TOKENS, WIDTH

pytestmark = pytest.mark.convert
ROWS = (TOKENS, WIDTH)


@pytest.fixture(scope="module")
def spec(small: Small) -> Tower:
    return layout.item_spec(small.recipe, small.item, small.learnt)


def paths(model: Model | None) -> list[str]:
    assert model is not None
    return [str(variant.path) for variant in model.variants]


def test_segments_end_at_every_exit_every_cut_and_the_end(spec: Tower) -> None:
    assert [segment.depth for segment in spec.segments] == [1, 2, 3, 4]
    assert [(segment.input, segment.output) for segment in spec.segments] == [
        ((SIDE, SIDE, 3), ROWS),
        *[(ROWS, ROWS)] * 3,
    ]
    assert spec.layers == LAYERS
    assert [(place.depth, place.segment) for place in spec.exits] == [(2, 1), (3, 2), (4, 3)]


def test_depth_that_is_cut_and_exit_at_once_ends_one_segment(small: Small) -> None:
    recipe = small_recipe(exits=(2, 3), cuts=(2, 4))
    assert [segment.depth for segment in layout.item_spec(recipe, small.item, small.learnt).segments] == [2, 3, 4]


@pytest.mark.parametrize(
    ("most", "ends"),
    [
        (0, [8, 12]),
        (1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (2, [2, 4, 6, 8, 10, 12]),
        (3, [2, 5, 8, 10, 12]),
        (5, [4, 8, 12]),
        (9, [8, 12]),
    ],
)
def test_no_segment_has_more_layers_than_the_recipe_allows_and_they_are_alike(
    small: Small, most: int, ends: list[int]
) -> None:
    tower = copy.copy(small.item)
    tower.layers = [*tower.layers] * 3
    head = small.learnt.queries[4]
    bare = replace(small.learnt, bank=None, calibrations={}, predictor=None, gates={}, policies=None)
    learnt = replace(bare, exits=(8, 12), queries={8: head, 12: head}, costs={8: 0.6, 12: 1.0})
    recipe = replace(small_recipe(cuts=()), export=ExportRecipe(layers_per_segment=most))
    spec = layout.item_spec(recipe, tower, learnt)
    assert [segment.depth for segment in spec.segments] == ends
    assert [(place.depth, ends[place.segment]) for place in spec.exits] == [(8, 8), (12, 12)]


def test_exits_of_what_was_learnt_count_and_not_those_that_the_recipe_asked_for(small: Small) -> None:
    recipe = small_recipe(exits=(1, 2, 3), cuts=())
    assert [place.depth for place in layout.item_spec(recipe, small.item, small.learnt).exits] == list(EXITS)


def test_segments_come_in_the_recipes_formats_the_fastest_first(spec: Tower) -> None:
    assert paths(spec.segments[2].model) == ["image/seg-02.dynamic-int8.tflite", "image/seg-02.float16.tflite"]


def test_per_channel_dynamic_int8_goes_to_the_runtime_alone_that_computes_it_right(small: Small, spec: Tower) -> None:
    for segment in (*spec.segments, *layout.query_spec(small.recipe, small.query).segments):
        for variant in segment.model.variants:
            assert variant.runtimes == (("ai-edge-litert",) if variant.format == "dynamic-int8" else RUNTIMES)


def test_each_exit_has_its_head_gate_cost_and_calibration(small: Small, spec: Tower) -> None:
    for number, place in enumerate(spec.exits):
        assert paths(place.head) == [f"image/head-{number:02}.weight-int8.tflite"]
        assert paths(place.gate) == [f"image/gate-{number:02}.float32.tflite"]
        assert place.calibration == small.learnt.calibrations[place.depth]
    assert [place.cost for place in spec.exits] == [0.5, 0.75, 1]


def test_exits_whose_questions_share_a_module_share_its_file(spec: Tower) -> None:
    shared, last = ["text/head-00.weight-int8.tflite"], ["text/head-01.weight-int8.tflite"]
    assert [paths(place.query) for place in spec.exits] == [shared, shared, last]


def test_questions_of_the_text_tower_itself_go_through_the_last_exits_head(small: Small, spec: Tower) -> None:
    text = layout.query_spec(small.recipe, small.query, spec.exits[-1].query)
    assert [(place.depth, place.segment, place.head) for place in text.exits] == [(1, 0, spec.exits[-1].query)]


def test_one_module_for_all_exits_is_one_file(small: Small) -> None:
    head = small.learnt.queries[4]
    heads = layout.query_heads(replace(small.learnt, queries=dict.fromkeys(EXITS, head)))
    assert {path for model in heads.values() for path in paths(model)} == {"text/head-00.weight-int8.tflite"}


def test_predictor_and_policies_are_what_was_learnt(small: Small, spec: Tower) -> None:
    assert spec.predictor is not None
    assert paths(spec.predictor.model) == ["image/predictor.full-int8.tflite"]
    assert spec.predictor.norm == PurePosixPath("image/predictor.norm")
    assert spec.policies == small.learnt.policies


@pytest.mark.parametrize("outliers", [0, 4])
def test_item_tower_has_the_recipes_outlier_channels(small: Small, outliers: int) -> None:
    recipe = replace(small.recipe, item=replace(small.recipe.item, outliers=outliers))
    assert layout.item_spec(recipe, small.item, small.learnt).outliers == outliers


def test_build_that_learnt_no_nets_names_none(small: Small) -> None:
    bare = replace(small.learnt, bank=None, calibrations={}, predictor=None, gates={}, policies=None)
    spec = layout.item_spec(small.recipe, small.item, bare)
    assert (spec.predictor, spec.policies, layout.bank_entry(bare)) == (None, None, None)
    assert {(place.calibration, place.gate) for place in spec.exits} == {(None, None)}


def test_bank_has_the_width_of_the_query_towers_features(small: Small) -> None:
    bank = layout.bank_entry(small.learnt)
    assert bank is not None
    assert (str(bank.path), bank.rows, bank.width) == ("bank.int8", 24, FEATURES)


@pytest.mark.parametrize(("table", "name"), [("int4", "text/tokens.int4"), ("float16", "text/tokens.float16")])
@pytest.mark.parametrize("masked", [True, False])
def test_query_tower_is_one_segment_with_a_table_and_with_a_mask_where_it_reads_one(
    tmp_path: Path, table: str, name: str, *, masked: bool
) -> None:
    recipe = small_recipe(query=QueryRecipe(kind="minilm", table=table, group=16))  # type: ignore[arg-type]
    spec = layout.query_spec(recipe, word_tower(tmp_path, masked=masked))
    (whole,) = spec.segments
    assert (whole.input, whole.output, whole.depth) == ((SENTENCE, FEATURES), (FEATURES,), 1)
    assert whole.extra == (("mask",) if masked else ())
    words = spec.preprocess
    assert isinstance(words, TextPreprocess)
    assert (str(words.table), words.table_format, words.tokens, words.width) == (name, table, SENTENCE, FEATURES)


def test_demo_recipe_lays_its_files_where_the_shipped_bundle_has_them(small: Small, bundle: Bundle) -> None:
    recipe = load_recipe(RECIPES / "demo.yaml")
    shipped, text = (bundle.manifest.tower(modality) for modality in ("image", "text"))
    depths = tuple(place.depth for place in shipped.exits)
    head = small.learnt.queries[4]
    learnt = replace(
        small.learnt,
        exits=depths,
        queries=dict.fromkeys(depths, head),
        costs={depth: depth / 16 for depth in depths},
        calibrations={},
        predictor=None,
        gates={},
        policies=None,
    )
    spec = layout.item_spec(recipe, efficientnet_lite.load(), learnt)
    assert (spec.segments, spec.preprocess) == (shipped.segments, shipped.preprocess)
    assert [place.head for place in spec.exits] == [place.head for place in shipped.exits]
    notes = text.exits[-1].calibration
    asked = layout.query_spec(recipe, minilm.load(recipe.query.tokens), spec.exits[-1].query, notes)
    assert (asked.segments, asked.exits) == (text.segments, text.exits)


def test_pixels_of_text_and_words_of_pictures_are_refused(small: Small, spec: Tower) -> None:
    with pytest.raises(TypeError, match=r"^the text tower takes no pictures$"):
        layout.pixels_of(layout.query_spec(small.recipe, small.query))
    with pytest.raises(TypeError, match=r"^the image tower takes no sentences$"):
        layout.words_of(spec)
