"""Pictures to pixels: what reaches the first segment, for every kind of file that people have."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edge.bundle import Bundle, ImagePreprocess
from edge.items import Floats
from edge.runtime import decode_image, image_input, image_inputs

VIEWS = Path(__file__).parents[2] / "converter" / "views.py"
SIDE = 224
ORIENTATION = 0x0112  # the EXIF tag
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def spec(bundle: Bundle) -> ImagePreprocess:
    preprocess = bundle.manifest.tower("image").preprocess
    assert isinstance(preprocess, ImagePreprocess)
    assert preprocess.size == SIDE
    return preprocess


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def file_of(picture: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, kind, **options)
    return file.getvalue()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def pixels(content: bytes) -> Pixels:
    return np.asarray(decode_image(content, SIDE))


def colour(content: bytes) -> tuple[int, ...]:
    """The one colour of the whole picture."""
    (found,) = np.unique(pixels(content).reshape(-1, 3), axis=0)
    return tuple(int(value) for value in found)


def plainly_resized(content: bytes, spec: ImagePreprocess) -> Floats:
    """What Pillow makes of the picture in one step, with no shortcut."""
    whole = Image.open(io.BytesIO(content)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return (np.asarray(whole, dtype=np.float32) - spec.mean) / spec.scale


def test_picture_of_the_right_size_passes_through_untouched(spec: ImagePreprocess) -> None:
    picture = noise(SIDE, SIDE)
    got = image_input(decode_image(file_of(picture, "PNG"), SIDE), spec)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, (picture.astype(np.float32) - 127) / 128)  # powers of two: exact in float32


def test_jpeg_of_the_right_size_gives_the_pixels_that_are_in_it(spec: ImagePreprocess) -> None:
    content = file_of(noise(SIDE, SIDE), "JPEG", quality=90)
    stored = np.asarray(Image.open(io.BytesIO(content)), dtype=np.float32)
    np.testing.assert_array_equal(image_input(decode_image(content, SIDE), spec), (stored - 127) / 128)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_picture_up_to_twice_the_size_is_resized_in_one_step(kind: str, spec: ImagePreprocess) -> None:
    content = file_of(noise(400, 440), kind)
    np.testing.assert_array_equal(image_input(decode_image(content, SIDE), spec), plainly_resized(content, spec))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("name", ["sushi-rolls.jpg", "chelsea.jpg"])
def test_large_photo_differs_from_a_plain_resize_by_a_gray_level_or_two(
    kind: str, name: str, pictures: list[Path], spec: ImagePreprocess
) -> None:
    (path,) = (path for path in pictures if path.name == name)
    content = file_of(Image.open(path).resize((2000, 1500), Image.Resampling.BICUBIC), kind, quality=95)
    # A JPEG is decoded at a fraction, and the rest is averaged before it is resized: several times faster, and each
    # of the two steps rounds once more. 4 of 255 at worst, a third on average, is what was measured, and some room.
    difference = 128 * np.abs(image_input(decode_image(content, SIDE), spec) - plainly_resized(content, spec))
    assert difference.max() <= 6
    assert difference.mean() <= 0.35


def test_narrow_picture_is_squashed_whole(spec: ImagePreprocess) -> None:
    left_dark = np.zeros((50, 1000, 3), dtype=np.uint8)
    left_dark[:, 500:] = 255
    got = image_input(decode_image(file_of(left_dark, "PNG"), SIDE), spec)
    assert got[:, :108].max() == -127 / 128
    assert got[:, 116:].min() == 1


def test_one_pixel_is_a_picture(spec: ImagePreprocess) -> None:
    got = image_input(decode_image(file_of(np.full((1, 1, 3), 127, dtype=np.uint8), "PNG"), SIDE), spec)
    np.testing.assert_array_equal(got, np.zeros((SIDE, SIDE, 3)))


def test_batch_holds_each_picture_in_order(spec: ImagePreprocess) -> None:
    contents = [file_of(noise(size, size), "PNG") for size in (30, 224, 300)]
    batch = image_inputs(contents, spec)
    assert list(batch) == ["x"]
    for row, content in zip(batch["x"], contents, strict=True):
        np.testing.assert_array_equal(row, image_input(decode_image(content, SIDE), spec))


# By the EXIF standard: on which side of the upright picture the file's first row lies, and its first column.
UPRIGHT = {
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.transpose(1, 0, 2),  # left, top
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_camera_held_any_way_gives_an_upright_picture(kind: str, orientation: int) -> None:
    plain = file_of(noise(20, 30), kind)
    turned = file_of(noise(20, 30), kind, exif=oriented(orientation))
    np.testing.assert_array_equal(pixels(turned), UPRIGHT[orientation](pixels(plain)))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    picture = noise(20, 30)
    np.testing.assert_array_equal(pixels(file_of(picture, "PNG", exif=oriented(orientation))), picture)


def test_large_jpeg_is_decoded_at_a_fraction_but_not_below_twice_the_side() -> None:
    photo = Image.new("L", (4000, 3000), 90)
    upright, turned = (
        decode_image(file_of(photo, "JPEG"), SIDE),
        decode_image(file_of(photo, "JPEG", exif=oriented(6)), SIDE),
    )
    assert upright.size == (1000, 750)  # an eighth would be 500 x 375, and 375 is less than 448
    assert turned.size == (750, 1000)
    assert decode_image(file_of(photo.resize((890, 890)), "JPEG"), SIDE).size == (890, 890)


def test_jpeg_beyond_the_limit_is_read_where_a_fraction_is_within_it() -> None:
    photo = Image.new("L", (8000, 7500), 90)  # 60 megapixels, as phones make
    assert decode_image(file_of(photo, "JPEG"), SIDE).size == (1000, 938)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_becomes_white(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[:4] = 0, 0, 0, 0  # clear black
    clear[4:] = 10, 20, 30, 255  # opaque
    got = pixels(file_of(clear, kind, **options))
    assert {tuple(pixel) for pixel in got[:4].reshape(-1, 3)} == {(255, 255, 255)}
    assert {tuple(pixel) for pixel in got[4:].reshape(-1, 3)} == {(10, 20, 30)}


@pytest.mark.parametrize(
    ("picture", "options", "expected"),
    [
        (Image.new("RGBA", (4, 4), (0, 0, 0, 51)), {}, (204, 204, 204)),  # a fifth of black
        (Image.new("LA", (4, 4), (100, 255)), {}, (100, 100, 100)),
        (Image.new("LA", (4, 4), (0, 51)), {}, (204, 204, 204)),
        (Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 3)}, (255, 255, 255)),
        (Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 4)}, (1, 2, 3)),
        (Image.new("L", (4, 4), 7), {"transparency": 7}, (255, 255, 255)),
        (Image.new("P", (4, 4), 0), {"transparency": 0}, (255, 255, 255)),
        (Image.new("P", (4, 4), 0), {"transparency": 1}, (0, 0, 0)),
        (Image.new("P", (4, 4), 0), {"transparency": bytes([51, 255])}, (204, 204, 204)),
        (Image.fromarray(np.full((4, 4), 300, dtype=np.uint16)), {"transparency": 300}, (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 300, dtype=np.uint16)), {"transparency": 301}, (1, 1, 1)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_every_way_to_say_transparent_becomes_white(
    picture: Image.Image, options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert colour(file_of(picture, "PNG", **options)) == expected


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red = file_of(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(np.array(colour(red)) - (255, 0, 0)).max() <= 2  # a JPEG is not exact


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_keeps_its_brightness(kind: str) -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    got = pixels(file_of(Image.fromarray(ramp), kind))
    np.testing.assert_array_equal(got, np.repeat((ramp >> 8)[..., None], 3, axis=2))


def test_big_endian_16_bit_gray_keeps_its_brightness() -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    big = Image.frombytes("I;16B", (64, 64), ramp.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels(file_of(big, "TIFF"))[..., 0], ramp >> 8)


@pytest.mark.parametrize(("mode", "value", "expected"), [("L", 77, (77, 77, 77)), ("1", 1, (255, 255, 255))])
def test_gray_and_black_and_white_become_rgb(mode: str, value: int, expected: tuple[int, ...]) -> None:
    assert colour(file_of(Image.new(mode, (9, 9), value), "PNG")) == expected


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    red, blue = (Image.new("RGB", (16, 16), name) for name in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = file_of(red, kind, save_all=True, append_images=[blue], **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 2
    assert colour(content) == (255, 0, 0)


def test_converter_trains_on_exactly_these_pixels() -> None:
    tree = ast.parse(VIEWS.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    shared = {name.name for node in imports if node.module == "edge.runtime" for name in node.names}
    assert shared == {"decode_image", "image_input"}
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & {"open", "resize", "thumbnail", "convert", "draft", "fromarray"}
