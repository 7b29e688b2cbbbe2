"""Photos that are made smaller: the same bytes each time, upright, and never larger than allowed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edge.adding.shrink import shrink
from edge.errors import UnreadableItemError

UPRIGHT = 274  # the number of the Exif tag `Orientation`
Size = tuple[int, int]


def noise(size: Size, kind: str = "JPEG", orientation: int = 1, **options: object) -> bytes:
    """The left half dark, the right half light."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    pixels[:, width // 2 :] += 180
    exif = Image.Exif()
    exif[UPRIGHT] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif, **options)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    picture.load()
    return picture


def test_same_photo_gives_the_same_bytes_each_time() -> None:
    photo = noise((3000, 2000))
    assert shrink(photo, 2_000_000) == shrink(photo, 2_000_000)


@pytest.mark.parametrize(
    ("size", "smaller"),
    [((3000, 2000), (2048, 1365)), ((2000, 3000), (1365, 2048)), ((4096, 1024), (2048, 512)), ((900, 600), (900, 600))],
)
def test_longer_side_has_2048_pixels_at_most(size: Size, smaller: Size) -> None:
    assert opened(shrink(noise(size), 8_000_000)).size == smaller


def test_side_is_halved_until_the_photo_is_small_enough() -> None:
    photo, largest = noise((3000, 2000)), 0
    sides = []
    for largest in (5_000_000, 400_000, 100_000, 9_000, 5_000):
        smaller = shrink(photo, largest)
        assert len(smaller) <= largest
        sides.append(max(opened(smaller).size))
    assert sides == [2048, 1024, 512, 384, 256]


@pytest.mark.parametrize(("orientation", "light"), [(1, "right"), (3, "left"), (6, "bottom"), (8, "top")])
def test_photo_is_upright_afterwards(orientation: int, light: str) -> None:
    picture = opened(shrink(noise((1200, 800), orientation=orientation), 8_000_000))
    pixels = np.asarray(picture.convert("L"), dtype=np.float32)
    height, width = pixels.shape
    halves = {
        "left": pixels[:, : width // 2],
        "right": pixels[:, width // 2 :],
        "top": pixels[: height // 2],
        "bottom": pixels[height // 2 :],
    }
    assert max(halves, key=lambda half: float(halves[half].mean())) == light
    assert picture.getexif().get(UPRIGHT, 1) == 1  # it must not be turned again


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_kinds_become_jpegs(kind: str) -> None:
    assert opened(shrink(noise((1000, 700), kind), 4_000_000)).size == (1000, 700)


def test_what_is_transparent_becomes_white() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (400, 300), (0, 0, 0, 0)).save(file, "PNG")
    assert opened(shrink(file.getvalue(), 1_000_000)).getpixel((200, 150)) == (255, 255, 255)


def test_photo_that_cannot_be_made_small_enough_is_refused() -> None:
    with pytest.raises(UnreadableItemError, match=r"^even at 256 pixels it has more than 1000 bytes$"):
        shrink(noise((3000, 2000)), 1000)


@pytest.mark.parametrize("content", [b"no picture" * 1000, noise((3000, 2000))[:100_000]], ids=["no picture", "half"])
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableItemError, match="not a picture "):
        shrink(content, 1_000_000)
