"""Training photos and their views: the plain picture, then random crops, all through the device's own preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edge.bundle import ImagePreprocess
from edge.errors import UnreadableItemError, UsageError
from edge.items import Floats
from edge.runtime import decode_image, image_input

SMALLEST_AREA = 0.65  # of a crop, as a share of the photo: smaller ones lose what the captions speak of


def views(photos: Sequence[Path], crops: int, spec: ImagePreprocess, seed: int) -> Iterator[Floats]:
    """(size, size, 3) of every photo, then of a crop of every photo, `crops` times over. Raises UsageError."""
    for number in range(crops + 1):
        for index, photo in enumerate(photos):
            try:
                picture = decode_image(photo.read_bytes(), spec.size)
            except UnreadableItemError as error:
                raise UsageError(f"{photo}: {error}") from None
            except OSError as error:
                raise UsageError(f"{photo}: cannot be read: {error.strerror}") from None
            if number:
                picture = _crop(picture, np.random.default_rng((seed, number, index)))
            yield image_input(picture, spec)


def _crop(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    side = random.uniform(SMALLEST_AREA, 1) ** 0.5
    width, height = max(1, int(picture.width * side)), max(1, int(picture.height * side))
    left = int(random.integers(0, picture.width - width + 1))
    top = int(random.integers(0, picture.height - height + 1))
    cropped = picture.crop((left, top, left + width, top + height))
    return ImageOps.mirror(cropped) if random.random() < 0.5 else cropped
