"""The device reads pictures as the published image processors of transformers do."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil, ViTImageProcessorPil

from converter.towers.checkpoint import Checkpoint
from converter.towers.pixels import image_preprocess
from edge.bundle import ImagePreprocess
from edge.errors import UsageError
from edge.items import Floats
from edge.runtime import image_inputs

pytestmark = pytest.mark.convert
PROCESSORS = {"clip": CLIPImageProcessorPil, "siglip": SiglipImageProcessorPil, "vit": ViTImageProcessorPil}
FAMILIES = pytest.mark.parametrize("family", PROCESSORS)
SIZES = [(224, 224), (500, 375), (375, 500), (640, 427), (225, 224), (300, 1200), (1000, 90), (50, 31), (1, 1)]


def written(folder: Path, family: str, **config: Any) -> Checkpoint:
    """A checkpoint with no more than pictures need."""
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    if config:
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return Checkpoint(folder, family)


def spec_of(folder: Path, family: str, **config: Any) -> ImagePreprocess:
    return image_preprocess(written(folder, family, **config), PROCESSORS[family], 224)


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def file_of(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def levels(content: bytes, spec: ImagePreprocess, processor: Any) -> Floats:
    """How far the device's pixels are from the processor's, in levels of 0 to 255."""
    ours = image_inputs([content], spec)["x"][0]
    published = processor(images=Image.open(io.BytesIO(content)), return_tensors="np")["pixel_values"][0]
    difference: Floats = np.abs(ours - published.transpose(1, 2, 0)) * np.asarray(spec.scale, dtype=np.float32)
    return difference


@FAMILIES
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_equal_the_published_processors(tmp_path: Path, family: str, size: tuple[int, int]) -> None:
    spec = spec_of(tmp_path, family)
    # Both resize by Pillow to whole levels. The device resizes the middle alone, which Pillow places by a float32: a
    # value near a half may then be rounded the other way, by one level. One in 600 was the most found, in noise.
    difference = levels(file_of(noise(*size), "PNG"), spec, PROCESSORS[family]())
    assert difference.max() <= 1.001
    assert (difference > 0.01).mean() <= 2e-3


@FAMILIES
def test_large_photo_is_within_a_few_levels(tmp_path: Path, family: str, pictures: list[Path]) -> None:
    spec = spec_of(tmp_path, family)
    (photo,) = (Image.open(path) for path in pictures if path.name == "sushi-rolls.jpg")
    content = file_of(photo.resize((2000, 1500), Image.Resampling.BICUBIC), "JPEG", quality=95)
    # Decoded at a fraction of its size and averaged before it is resized: several times faster on a board.
    difference = levels(content, spec, PROCESSORS[family]())
    assert difference.max() <= 12
    assert difference.mean() <= 0.6


@FAMILIES
def test_shipped_pictures_are_within_a_level_on_average(tmp_path: Path, family: str, pictures: list[Path]) -> None:
    spec, processor = spec_of(tmp_path, family), PROCESSORS[family]()
    for path in pictures[:12]:
        assert levels(path.read_bytes(), spec, processor).mean() <= 0.6, path.name


def test_families_say_what_is_published_of_them(tmp_path: Path) -> None:
    clip, siglip, vit = (spec_of(tmp_path, family) for family in PROCESSORS)
    assert (clip.fit, clip.filter) == ("crop", "bicubic")
    assert clip.mean == pytest.approx((122.771, 116.746, 104.094), abs=1e-3)
    assert clip.scale == pytest.approx((68.501, 66.632, 70.323), abs=1e-3)
    assert (siglip.fit, siglip.filter, siglip.mean, siglip.scale) == ("squash", "bicubic", 127.5, 127.5)
    assert (vit.fit, vit.filter, vit.mean, vit.scale) == ("squash", "bilinear", 127.5, 127.5)


def test_file_of_the_checkpoint_goes_before_the_familys_own(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "vit", resample=3, image_mean=[0.1, 0.2, 0.3], image_std=[0.2, 0.2, 0.2], size=224)
    assert (spec.fit, spec.filter, spec.scale) == ("squash", "bicubic", 51.0)
    assert spec.mean == pytest.approx((25.5, 51.0, 76.5))


def test_older_form_of_clips_file_is_read(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "clip", size=224, crop_size=224, do_center_crop=True, resample=3)
    assert (spec.fit, spec.size) == ("crop", 224)


@pytest.mark.parametrize(
    ("family", "config", "said"),
    [
        ("clip", {"size": {"shortest_edge": 256}, "crop_size": 224}, "size {'shortest_edge': 256}"),
        ("vit", {"resample": 0}, "resample 0: pictures can be squashed"),
        ("clip", {"crop_size": {"height": 224, "width": 200}}, "crop_size {'height': 224, 'width': 200}"),
        ("clip", {"do_center_crop": False}, "size {'shortest_edge': 224}"),
        ("vit", {"size": {"height": 384, "width": 384}}, "makes pictures of 384 pixels, config.json says 224"),
    ],
)
def test_what_the_device_cannot_do_is_refused(tmp_path: Path, family: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec_of(tmp_path, family, **config)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}: preprocessor_config.json ")
