"""What happens to an item before a tower's first segment. See FORMAT.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from edge.bundle.models import check_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePreprocess:
    """A picture file -> (size, size, 3): EXIF orientation, RGB, resized, (value - mean) / scale, values from 0 to 255.

    fit:         "squash" keeps the whole picture and changes its aspect ratio; "crop" brings the shortest side to
                 `size` and takes the middle
    mean, scale: one number, or one for each of red, green, blue
    """

    kind: Literal["image"]
    size: int
    fit: Literal["squash", "crop"]
    filter: Literal["bicubic", "bilinear"]
    mean: float | tuple[float, float, float]
    scale: float | tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}: must be 1 or more")
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            if isinstance(value, tuple) and len(value) != 3:
                raise ValueError(f"{name} is {list(value)}: must be one number, or one for each of red, green, blue")
        if not all(one > 0 for one in (self.scale if isinstance(self.scale, tuple) else (self.scale,))):
            raise ValueError(f"scale is {self.scale}: must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPreprocess:
    """A sentence -> x (tokens, width) summed embeddings and mask (tokens,) of 0 and 1.

    table:        one row of `width` values for each token of the tokenizer
    table_format: "int4": 4 bits a value, asymmetric in groups of `group` (edge.runtime.int4); "float16": little-endian
    """

    kind: Literal["text"]
    tokenizer: PurePosixPath
    tokens: int
    width: int
    table: PurePosixPath
    table_format: Literal["int4", "float16"] = "int4"
    group: int = 64
    positions: PurePosixPath

    def __post_init__(self) -> None:
        for path in (self.tokenizer, self.table, self.positions):
            check_inside(path)
        if self.tokens < 1 or self.width < 1:
            raise ValueError(f"tokens is {self.tokens}, width {self.width}: must be 1 or more")
        if self.table_format == "int4" and (self.group < 1 or self.width % self.group or self.width % 2):
            raise ValueError(
                f"width is {self.width}, group {self.group}: must be 1 or more, width even and a multiple of group"
            )
