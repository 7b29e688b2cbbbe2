from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from edge.bundle import RUNTIMES, ImagePreprocess, Manifest, TextPreprocess
from edge.decode import DecodeError, decode
from edge.errors import BundleError

Data = dict[str, Any]
OUTSIDE = ["/etc/passwd", "../key", "image/../../key", "..", ".", "image\\..\\..\\key", "C:\\key"]


def problems_of(manifest: Data) -> tuple[str, ...]:
    with pytest.raises(DecodeError) as caught:
        decode(Manifest, manifest)
    return caught.value.problems


def places_of_paths(data: Any, files: Data, where: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Each holder, key and path of a text in `data` that names a file of the bundle."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        here = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}".lstrip(".")
        if isinstance(value, str) and value in files:
            yield data, key, where
        elif isinstance(value, (dict, list)) and key != "files":
            yield from places_of_paths(value, files, here)


def test_small_manifest_is_read_whole(manifest: Data) -> None:
    read = decode(Manifest, manifest)
    assert (read.model, read.dimension, read.build) == ("small", 16, {"seconds": 0.5})
    assert [tower.modality for tower in read.towers] == ["image", "text"]
    assert [segment.output for segment in read.tower("image").segments] == [(4, 4, 6), (2, 2, 9)]
    assert [place.depth for place in read.tower("image").exits] == [2, 4]
    assert read.tower("text").segments[0].extra == ("mask",)
    assert read.calibrated


def test_manifest_of_the_least_is_read_with_what_it_leaves_out(manifest: Data) -> None:
    """Embeddings alone: no bank, nothing calibrated, no policy."""
    del manifest["bank"], manifest["calibrated"], manifest["build"]
    for key in ("predictor", "policies"):
        del manifest["towers"][0][key]
    for place in manifest["towers"][0]["exits"]:
        for key in set(place) - {"depth", "segment", "head"}:
            del place[key]
    read = decode(Manifest, manifest)
    tower = read.tower("image")
    assert (read.bank, read.calibrated, read.build) == (None, False, {})
    assert (tower.predictor, tower.policies, tower.outliers) == (None, None, 0)
    for place in tower.exits:
        assert (place.query, place.calibration, place.gate, place.cost) == (None, None, None, None)


@pytest.mark.parametrize("outside", OUTSIDE)
def test_path_out_of_the_bundle_is_refused_wherever_a_path_may_stand(manifest: Data, outside: str) -> None:
    places = list(places_of_paths(manifest, manifest["files"]))
    assert len(places) == len(manifest["files"])
    for holder, key, where in places:
        kept, holder[key] = holder[key], outside
        assert problems_of(manifest) == (f"{where}: path {outside!r} must stay inside the bundle",)
        holder[key] = kept


@pytest.mark.parametrize("outside", OUTSIDE)
def test_list_of_files_that_names_one_out_of_the_bundle_is_refused(manifest: Data, outside: str) -> None:
    manifest["files"][outside] = {"bytes": 1, "sha256": "0" * 64}
    assert problems_of(manifest) == (f"path {outside!r} must stay inside the bundle",)


@pytest.mark.parametrize("name", ["image/a\0b", "image/\ud800", "image/\x1b[2J", "image/a\nb"])
def test_path_that_is_no_file_name_is_refused(manifest: Data, name: str) -> None:
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    assert problems_of(manifest) == (f"path {name!r} must have printable characters only",)


def test_empty_path_is_refused(manifest: Data) -> None:
    manifest["towers"][1]["preprocess"]["table"] = ""
    assert problems_of(manifest) == ("towers[1].preprocess: path '.' must stay inside the bundle",)


@pytest.mark.parametrize("runtimes", [["torch"], [], [*RUNTIMES, "onnx"]])
def test_runtimes_that_are_none_of_ours_are_refused_with_those_that_are(manifest: Data, runtimes: list[str]) -> None:
    manifest["towers"][0]["exits"][1]["head"]["variants"][0]["runtimes"] = runtimes
    assert problems_of(manifest) == (
        f"towers[0].exits[1].head.variants[0]: runtimes {runtimes} must be some of ai-edge-litert, tflite-runtime",
    )


def test_model_without_a_variant_is_refused(manifest: Data) -> None:
    manifest["towers"][0]["segments"][1]["model"]["variants"] = []
    assert problems_of(manifest) == ("towers[0].segments[1].model: a model needs at least one variant",)


def test_unknown_format_is_refused_with_the_known_ones(manifest: Data) -> None:
    manifest["towers"][0]["segments"][0]["model"]["variants"][0]["format"] = "int2"
    (problem,) = problems_of(manifest)
    assert problem.startswith("towers[0].segments[0].model.variants[0].format is 'int2': must be one of ")
    assert problem.endswith("float32, float16, weight-int8, dynamic-int8, full-int8")


@pytest.mark.parametrize("depths", [(4, 2), (4, 4), (2, 3), (2, 5)])
def test_segment_depths_that_do_not_rise_to_the_layers_are_refused(manifest: Data, depths: tuple[int, int]) -> None:
    for segment, depth in zip(manifest["towers"][0]["segments"], depths, strict=True):
        segment["depth"] = depth
    expected = f"towers[0]: segment depths {list(depths)} must rise to the tower's 4 layers"
    assert problems_of(manifest) == (expected,)


def test_tower_without_segments_is_refused(manifest: Data) -> None:
    manifest["towers"][0]["segments"] = []
    assert problems_of(manifest) == ("towers[0]: segment depths [] must rise to the tower's 4 layers",)


def test_segments_whose_shapes_do_not_fit_are_refused_with_both_shapes(manifest: Data) -> None:
    manifest["towers"][0]["segments"][1]["input"] = [4, 4, 7]
    assert problems_of(manifest) == ("towers[0]: the segment at depth 2 gives (4, 4, 6), the next takes (4, 4, 7)",)


@pytest.mark.parametrize("segment", [0, 2, -1])
def test_exit_that_names_a_segment_which_ends_elsewhere_is_refused(manifest: Data, segment: int) -> None:
    manifest["towers"][0]["exits"][1]["segment"] = segment
    expected = f"towers[0]: exit at depth 4 names segment {segment}, which does not end there"
    assert problems_of(manifest) == (expected,)


def test_exits_that_do_not_rise_are_refused(manifest: Data) -> None:
    manifest["towers"][0]["exits"].reverse()
    assert problems_of(manifest) == ("towers[0]: exit depths [4, 2] must rise",)


def test_the_same_exit_twice_is_refused(manifest: Data) -> None:
    manifest["towers"][0]["exits"] *= 2
    assert problems_of(manifest) == ("towers[0]: exit depths [2, 4, 2, 4] must rise",)


@pytest.mark.parametrize("kept", [0, 1])
def test_tower_without_an_exit_at_its_end_is_refused(manifest: Data, kept: int) -> None:
    manifest["towers"][0]["exits"] = manifest["towers"][0]["exits"][:kept]
    assert problems_of(manifest) == ("towers[0]: the last exit must be at the end, depth 4",)


def test_every_file_that_a_tower_names_must_be_listed(manifest: Data) -> None:
    for name in list(manifest["files"]):
        record = manifest["files"].pop(name)
        assert problems_of(manifest) == (f"files does not list {name}",)
        manifest["files"][name] = record


def test_all_files_that_are_not_listed_are_named_at_once(manifest: Data) -> None:
    del manifest["files"]["text/tokens.int4"], manifest["files"]["image/head-00.tflite"]
    assert problems_of(manifest) == ("files does not list image/head-00.tflite, text/tokens.int4",)


def test_file_that_no_tower_names_may_be_listed(manifest: Data) -> None:
    manifest["files"]["NOTICE.txt"] = {"bytes": 1, "sha256": "0" * 64}
    assert "NOTICE.txt" in decode(Manifest, manifest).files


def test_two_towers_of_one_modality_are_refused(manifest: Data) -> None:
    manifest["towers"][1] = manifest["towers"][0]
    assert problems_of(manifest) == ("towers are image, image: must be one for each modality",)


def test_preprocessing_of_an_unknown_kind_is_refused_with_the_known_ones(manifest: Data) -> None:
    manifest["towers"][0]["preprocess"]["kind"] = "audio"
    assert problems_of(manifest) == ("towers[0].preprocess.kind is 'audio': must be one of image, text",)


def test_boolean_is_no_size(manifest: Data) -> None:
    manifest["files"]["text/tokens.int4"]["bytes"] = True
    assert problems_of(manifest) == ("files.text/tokens.int4.bytes is True: must be a whole number",)


def test_unknown_keys_anywhere_are_named_with_the_nearest(manifest: Data) -> None:
    manifest["atribution"] = []
    manifest["towers"][0]["segments"][0]["dept"] = 2
    assert problems_of(manifest) == (
        "atribution is not a key. Did you mean attribution?",
        "towers[0].segments[0].dept is not a key. Did you mean towers[0].segments[0].depth?",
    )


def test_exit_is_found_by_its_depth_and_a_wrong_depth_is_answered_with_those_there_are(manifest: Data) -> None:
    tower = decode(Manifest, manifest).tower("image")
    assert tower.exit_at(2) is tower.exits[0]
    with pytest.raises(ValueError, match=r"^no exit at depth 3: there are 2, 4$"):
        tower.exit_at(3)


@pytest.mark.parametrize("outliers", [0, 4, 8])
def test_tower_says_how_many_outlier_channels_its_activations_have(manifest: Data, outliers: int) -> None:
    manifest["towers"][0]["outliers"] = outliers
    assert decode(Manifest, manifest).tower("image").outliers == outliers


@pytest.mark.parametrize("outliers", [-1, 9])
def test_more_outlier_channels_than_there_may_be_are_refused(manifest: Data, outliers: int) -> None:
    manifest["towers"][0]["outliers"] = outliers
    assert problems_of(manifest) == (f"towers[0]: outliers is {outliers}: must be 0 to 8",)


def test_tower_that_a_bundle_does_not_have_is_a_bundle_error(manifest: Data) -> None:
    expected = "bundle 'small' has no audio tower: choose a bundle that has one"
    with pytest.raises(BundleError, match=re.escape(expected)):
        decode(Manifest, manifest).tower("audio")


@pytest.mark.parametrize(
    ("tower", "key", "value", "problem"),
    [
        (0, "size", 0, "size is 0: must be 1 or more"),
        (0, "scale", 0.0, "scale is 0.0: must be above 0"),
        (0, "scale", float("nan"), "scale is nan: must be above 0"),
        (1, "group", 0, "group 0: must be 1 or more, width even and a multiple of group"),
        (1, "group", 7, "group 7: must be 1 or more, width even and a multiple of group"),
        (1, "tokens", 0, "tokens is 0, width"),
        (1, "width", 0, "width 0: must be 1 or more"),
        (0, "mean", [1.0, 2.0], "mean is [1.0, 2.0]: must be one number, or one for each of red, green, blue"),
        (0, "scale", [1.0, 2.0, 3.0, 4.0], "scale is [1.0, 2.0, 3.0, 4.0]: must be one number, or one for each of red"),
        (0, "scale", [1.0, 0.0, 1.0], "scale is (1.0, 0.0, 1.0): must be above 0"),
        (0, "scale", [1.0, float("nan"), 1.0], "scale is (1.0, nan, 1.0): must be above 0"),
        (0, "mean", "gray", "preprocess.mean is 'gray': must be a number or a list"),
        (0, "fit", "stretch", "preprocess.fit is 'stretch': must be one of squash, crop"),
        (0, "filter", "lanczos", "preprocess.filter is 'lanczos': must be one of bicubic, bilinear"),
        (1, "table_format", "int8", "preprocess.table_format is 'int8': must be one of int4, float16"),
    ],
)
def test_values_that_preprocessing_cannot_work_with_are_refused(
    manifest: Data, tower: int, key: str, value: object, problem: str
) -> None:
    manifest["towers"][tower]["preprocess"][key] = value
    (found,) = problems_of(manifest)
    assert problem in found


def test_each_channel_may_have_its_own_mean_and_scale(manifest: Data) -> None:
    manifest["towers"][0]["preprocess"] |= {
        "mean": [1, 2.5, 3],
        "scale": [4, 5, 6],
        "fit": "crop",
        "filter": "bilinear",
    }
    preprocess = decode(Manifest, manifest).tower("image").preprocess
    assert isinstance(preprocess, ImagePreprocess)
    assert (preprocess.mean, preprocess.scale) == ((1.0, 2.5, 3.0), (4.0, 5.0, 6.0))


def test_table_in_float16_needs_no_groups(manifest: Data) -> None:
    manifest["towers"][1]["preprocess"] |= {"table_format": "float16", "group": 7}
    preprocess = decode(Manifest, manifest).tower("text").preprocess
    assert isinstance(preprocess, TextPreprocess)
    assert preprocess.table_format == "float16"
