"""Training views: the device's own pixels, and crops that a seed repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from PIL import Image

from converter.views import SMALLEST_AREA, views
from edge.bundle import ImagePreprocess
from edge.errors import UsageError
from edge.items import Floats
from edge.runtime import decode_image, image_input, image_inputs

pytestmark = pytest.mark.convert

SPEC = ImagePreprocess(kind="image", size=64, fit="squash", filter="bicubic", mean=127.0, scale=128.0)
SIDE = 256


@pytest.fixture
def ramps(tmp_path: Path) -> list[Path]:
    """Two equal photos that say in red how far right, and in green how far down, each pixel lies."""
    right, down = np.meshgrid(np.arange(SIDE, dtype=np.uint8), np.arange(SIDE, dtype=np.uint8))
    picture = Image.fromarray(np.stack([right, down, np.zeros_like(right)], 2))
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        picture.save(path)
    return paths


def crops(photos: list[Path], count: int, seed: int = 0) -> list[Floats]:
    return list(views(photos, count, SPEC, seed))[len(photos) :]


def test_plain_views_are_the_pixels_of_the_device_bit_for_bit(pictures: list[Path]) -> None:
    photos = pictures[:8]
    plain = list(views(photos, 0, SPEC, 0))
    assert len(plain) == 8
    for view, photo in zip(plain, photos, strict=True):
        assert view.dtype == np.float32
        assert view.tobytes() == image_input(decode_image(photo.read_bytes(), SPEC.size), SPEC).tobytes()
        assert view.tobytes() == image_inputs([photo.read_bytes()], SPEC)["x"][0].tobytes()


def test_turned_photo_is_seen_upright_as_on_the_device(tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 40), "black")
    picture.paste("white", (0, 0, 40, 40))  # left half white; turned clockwise, as orientation 6 says, it is the top
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    (view,) = views([tmp_path / "turned.png"], 0, SPEC, 0)
    assert view[:24].min() > 0.9
    assert view[40:].max() < -0.9


def test_plain_views_of_all_photos_come_first_then_one_crop_of_each_after_another(ramps: list[Path]) -> None:
    made = list(views(ramps, 2, SPEC, 0))
    assert len(made) == 6
    assert made[0].tobytes() == made[1].tobytes()  # the two files are the same picture
    again = [view.tobytes() for view in crops(ramps, 1)]
    assert [view.tobytes() for view in made[2:4]] == again


def test_crops_are_equal_for_equal_seeds_and_differ_for_others(ramps: list[Path]) -> None:
    first, second, other = (np.stack(crops(ramps, 3, seed)) for seed in (5, 5, 6))
    assert first.tobytes() == second.tobytes()
    assert not any(one.tobytes() == another.tobytes() for one, another in zip(first, other, strict=True))


def test_crops_differ_between_photos_and_from_crop_to_crop(ramps: list[Path]) -> None:
    made = crops(ramps, 8)
    assert len({view.tobytes() for view in made}) == 16


def test_crops_keep_most_of_the_photo_and_mirror_about_half_of_it(ramps: list[Path]) -> None:
    made = crops(ramps, 100)
    levels = [view[2:-2, 2:-2, :2] * SPEC.scale for view in made]  # away from the edges, where bicubic overshoots
    widths, heights = (np.array([np.ptp(level[..., channel]) for level in levels]) for channel in (0, 1))
    areas = widths * heights / (SIDE * 60 / 64) ** 2
    assert SMALLEST_AREA - 0.03 < areas.min() < 0.72
    assert areas.max() > 0.93
    mirrored = sum(view[32, 0, 0] > view[32, -1, 0] for view in made)
    assert 70 < mirrored < 130
    assert all(view[0, 32, 1] < view[-1, 32, 1] for view in made)  # never upside down


def test_photo_of_one_pixel_can_be_cropped(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    made = list(views([tmp_path / "dot.png"], 3, SPEC, 0))
    assert [view.shape for view in made] == [(64, 64, 3)] * 4


def test_unreadable_photo_is_named_with_what_to_do_and_exit_code_2(tmp_path: Path, ramps: list[Path]) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"this is no picture")
    made = views([ramps[0], broken], 0, SPEC, 0)
    next(made)
    with pytest.raises(UsageError) as caught:
        next(made)
    assert str(caught.value).startswith(f"{broken}: not a picture of a known kind (")
    assert str(caught.value).endswith("): convert it to JPEG or PNG")
    assert caught.value.exit_code == 2


def test_photo_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UsageError, match=r"/folder\.jpg: cannot be read: Is a directory$"):
        list(views([tmp_path / "folder.jpg", tmp_path / "gone.jpg"], 0, SPEC, 0))
