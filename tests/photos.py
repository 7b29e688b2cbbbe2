"""Photos as phones take them: twelve megapixels, and as many bytes as a test asks for."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_WIDTH, _HEIGHT = 4000, 3000


def phone_photo(size: int) -> bytes:
    """A JPEG of exactly `size` bytes, 3 to 12 million; most of them are picture."""
    light = np.linspace(0, 190, _HEIGHT)[:, None, None] * np.linspace(0.2, 1, _WIDTH)[None, :, None]
    quality, loudest = (90, 25) if size < 6_000_000 else (95, 30) if size < 10_000_000 else (97, 60)
    noise = np.random.default_rng(size).integers(0, loudest, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(light.astype(np.uint8) + noise).save(file, "JPEG", quality=quality)
    assert size // 2 < file.tell() <= size
    return file.getvalue().ljust(size, b"\0")  # behind a JPEG's end anything may stand
