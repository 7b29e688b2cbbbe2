"""Tiny pictures of a shape before a background, and captions that name both: data that a small build can learn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from tiny_data import write_table

SIDE = 32
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 180, 60),
    "blue": (40, 60, 220),
    "yellow": (230, 220, 40),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
    "orange": (240, 140, 20),
    "purple": (140, 40, 170),
}
SHAPES = {
    "square": (slice(3, 13), slice(3, 13)),
    "bar": (slice(6, 10), slice(0, 16)),
    "pole": (slice(0, 16), slice(6, 10)),
}
PLACES = {"top left": (0, 0), "top right": (0, 16), "bottom left": (16, 0), "bottom right": (16, 16)}
SPLITS = {"train": 100, "validation": 110, "test": 50}  # validation: the held side, 220 captions


def shapes(folder: Path, count: int) -> dict[str, tuple[str, str]]:
    """Pictures, and the captions of each by its file name; no two show the same, so no caption is on two sides."""
    told = [one for one in product(COLOURS, COLOURS, SHAPES, PLACES) if one[0] != one[1]]
    random.Random(0).shuffle(told)  # noqa: S311 - data, no secret
    captions = {}
    for number, (front, back, shape, place) in enumerate(told[:count]):
        Image.fromarray(_draw(front, back, shape, place)).save(folder / f"{number:03}.png")
        texts = (f"a {front} {shape} on {back} at the {place}", f"{back} around a {front} {shape}, {place}")
        captions[f"{number:03}.png"] = texts
    return captions


def write_shapes(folder: Path, captions: int = 2, counts: Mapping[str, int] = SPLITS) -> Path:
    """The same with pairs.csv, the first `captions` captions of each, on official sides."""
    splits = [split for split, count in counts.items() for _ in range(count)]
    told = shapes(folder, len(splits))
    rows = [
        (name, text, split)
        for split, (name, texts) in zip(splits, told.items(), strict=True)
        for text in texts[:captions]
    ]
    write_table(folder / "pairs.csv", ("item", "text", "split"), *rows)
    return folder


def _draw(front: str, back: str, shape: str, place: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:] = COLOURS[back]
    (down, right), (rows, columns) = PLACES[place], SHAPES[shape]
    pixels[down : down + 16, right : right + 16][rows, columns] = COLOURS[front]
    return pixels
