"""The shipped towers, run as a whole and in parts."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Exit
from edge.errors import UnreadableItemError
from edge.items import Floats
from edge.runtime import Activation, TowerRunner

# Sums run in another order when the batch changes; the scores that users see have two digits.
TOLERANCE = 1e-4


@pytest.fixture(scope="session")
def contents(pictures: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in pictures[:5]]


def picture(pictures: list[Path], name: str) -> bytes:
    (path,) = (path for path in pictures if path.name == name)
    return path.read_bytes()


def embed_images(image: TowerRunner, contents: list[bytes], place: Exit) -> Floats:
    return image.embed(image.advance(image.start_images(contents), place.segment), place)


def embed_texts(text: TowerRunner, sentences: list[str]) -> Floats:
    place = text.spec.exits[-1]
    return text.embed(text.advance(text.start_texts(sentences), place.segment), place)


def test_stopping_on_the_way_changes_no_bit(image: TowerRunner, contents: list[bytes]) -> None:
    segments = range(len(image.spec.segments))
    start = image.start_images(contents[:2])
    direct = [image.advance(start, segment) for segment in segments]
    for first, second in combinations(segments, 2):
        stopped = image.advance(direct[first], second)
        assert stopped.segment == direct[second].segment == second + 1
        np.testing.assert_array_equal(stopped.tensor, direct[second].tensor)


def test_activations_have_the_shapes_that_the_manifest_says(image: TowerRunner, contents: list[bytes]) -> None:
    activation = image.start_images(contents[:3])
    for number, segment in enumerate(image.spec.segments):
        assert activation.tensor.shape == (3, *segment.input)
        activation = image.advance(activation, number)
        assert activation.tensor.shape == (3, *segment.output)
        assert activation.tensor.dtype == np.float32


def test_advancing_to_where_it_is_already_runs_nothing(image: TowerRunner, contents: list[bytes]) -> None:
    there = image.advance(image.start_images(contents[:1]), 2)
    assert image.advance(there, 2) is not there  # a value, not a cursor
    assert image.advance(there, 2).tensor is there.tensor
    assert image.advance(there, 0).segment == 3


def test_picture_is_embedded_in_a_batch_as_alone_at_every_exit(image: TowerRunner, contents: list[bytes]) -> None:
    for place in image.spec.exits:
        alone = np.concatenate([embed_images(image, [content], place) for content in contents])
        together = embed_images(image, contents, place)
        np.testing.assert_allclose(together, alone, atol=TOLERANCE)
        np.testing.assert_array_equal(embed_images(image, contents, place), together)


def test_sentence_is_embedded_in_a_batch_as_alone(text: TowerRunner) -> None:
    sentences = ["a dog", "", "two people on a bench by the sea " * 9, "food from Japan"]
    alone = np.concatenate([embed_texts(text, [sentence]) for sentence in sentences])
    np.testing.assert_allclose(embed_texts(text, sentences), alone, atol=TOLERANCE)


def test_embeddings_have_unit_norm(image: TowerRunner, text: TowerRunner, contents: list[bytes]) -> None:
    parts = [embed_images(image, contents, place) for place in image.spec.exits]
    for embeddings in (*parts, embed_texts(text, ["a dog", "", "🐕"])):
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_both_towers_end_in_the_shared_space(image: TowerRunner, text: TowerRunner, contents: list[bytes]) -> None:
    width = embed_texts(text, ["a dog"]).shape[1]
    assert {embed_images(image, contents[:1], place).shape for place in image.spec.exits} == {(1, width)}


@pytest.mark.parametrize("wrong", [-1, 1])
def test_embedding_before_or_after_the_exit_is_refused(wrong: int, image: TowerRunner, contents: list[bytes]) -> None:
    place = image.spec.exits[1]
    there = image.advance(image.start_images(contents[:1]), place.segment + wrong)
    said = f"the batch is before segment {place.segment + wrong + 1}, the exit lies after {place.segment}"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        image.embed(there, place)


def test_towers_refuse_what_is_not_theirs(image: TowerRunner, text: TowerRunner, contents: list[bytes]) -> None:
    with pytest.raises(TypeError, match=r"^the image tower takes no sentences$"):
        image.start_texts(["a dog"])
    with pytest.raises(TypeError, match=r"^the text tower takes no pictures$"):
        text.start_images(contents)


def test_one_unreadable_picture_of_a_batch_is_refused(image: TowerRunner, contents: list[bytes]) -> None:
    with pytest.raises(UnreadableItemError, match="not a picture of a known kind"):
        image.start_images([*contents, b"Dear diary"])


def test_what_lies_behind_the_mask_has_no_say(text: TowerRunner) -> None:
    place = text.spec.exits[-1]
    start = text.start_texts(["a dog on the beach"])
    spoilt = start.tensor.copy()
    spoilt[start.extra["mask"] == 0] = 7.0
    other = text.embed(text.advance(Activation(spoilt, 0, start.extra), place.segment), place)
    np.testing.assert_allclose(other, embed_texts(text, ["a dog on the beach"]), atol=TOLERANCE)


@pytest.mark.parametrize("exit_number", [-2, -1])
def test_pictures_lie_nearest_to_the_sentence_of_what_they_show(
    exit_number: int, image: TowerRunner, text: TowerRunner, pictures: list[Path]
) -> None:
    shown = {
        "golden-retriever.jpg": "a dog",
        "sushi-rolls.jpg": "sushi",
        "sunflower.jpg": "a yellow flower",
        "white-sports-car.jpg": "a car on a road",
    }
    place = image.spec.exits[exit_number]
    scores = (
        embed_images(image, [picture(pictures, name) for name in shown], place)
        @ embed_texts(text, list(shown.values())).T
    )
    assert scores.argmax(0).tolist() == scores.argmax(1).tolist() == [0, 1, 2, 3]
