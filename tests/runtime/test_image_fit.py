"""How a picture becomes a square: squashed or cropped, bicubic or bilinear, each channel by its own numbers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edge.bundle import ImagePreprocess
from edge.items import Floats
from edge.runtime import decode_image, image_input

SIDE = 32
SQUASH = ImagePreprocess(kind="image", size=SIDE, fit="squash", filter="bicubic", mean=0.0, scale=1.0)
CROP = replace(SQUASH, fit="crop")


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def read(picture: Image.Image, spec: ImagePreprocess) -> Floats:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return image_input(decode_image(file.getvalue(), spec.size), spec)


def plainly_cropped(picture: Image.Image) -> Floats:
    """All of it resized, and the middle taken out of that."""
    shortest = min(picture.size)
    whole = picture.resize(
        (SIDE * picture.width // shortest, SIDE * picture.height // shortest), Image.Resampling.BICUBIC
    )
    left, top = (whole.width - SIDE) // 2, (whole.height - SIDE) // 2
    return np.asarray(whole.crop((left, top, left + SIDE, top + SIDE)), dtype=np.float32)


@pytest.mark.parametrize(
    "size", [(64, 32), (32, 64), (50, 50), (33, 32), (61, 47), (47, 61), (150, 40), (9, 20)], ids=str
)
def test_cropped_picture_is_the_middle_of_the_resized_one(size: tuple[int, int]) -> None:
    picture = noise(*size)
    # Pillow holds the place of the middle in float32: a value near a half may be rounded the other way.
    difference = np.abs(read(picture, CROP) - plainly_cropped(picture))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.003


def test_cropped_picture_keeps_its_shape_and_loses_its_ends() -> None:
    stripes = np.zeros((40, 120, 3), dtype=np.uint8)
    stripes[:, 40:80], stripes[:, 80:] = 100, 255
    cropped, squashed = (read(Image.fromarray(stripes), spec) for spec in (CROP, SQUASH))
    assert (cropped[:, 2:-2] == 100).all()
    assert (squashed[:, 0] == 0).all()
    assert (squashed[:, -1] == 255).all()


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)], ids=str)
def test_line_of_pixels_is_cropped_without_making_a_picture_of_its_length(size: tuple[int, int]) -> None:
    got = read(Image.new("RGB", size, (10, 20, 30)), replace(CROP, size=224))  # all of it would be 10 GB
    assert got.shape == (224, 224, 3)
    assert (got == (10, 20, 30)).all()


def test_square_picture_is_the_same_cropped_or_squashed() -> None:
    picture = noise(50, 50)
    np.testing.assert_array_equal(read(picture, CROP), read(picture, SQUASH))


def test_bilinear_is_pillows_bilinear() -> None:
    picture = noise(60, 45)
    wanted = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
    np.testing.assert_array_equal(read(picture, replace(SQUASH, filter="bilinear")), wanted)
    assert np.abs(read(picture, SQUASH) - wanted).max() > 5


def test_each_channel_has_its_own_mean_and_scale() -> None:
    spec = replace(SQUASH, mean=(10.0, 20.0, 30.0), scale=(1.0, 2.0, 4.0))
    got = read(Image.new("RGB", (SIDE, SIDE), (11, 24, 22)), spec)
    assert got.dtype == np.float32
    assert (got == (1.0, 2.0, -2.0)).all()
