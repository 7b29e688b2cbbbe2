"""What happens to an item before a tower's first segment. See FORMAT.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from edge.bundle.models import check_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePreprocess:
    """A picture file -> (size, size, 3): EXIF orientation, RGB, resized, (value - mean) / scale.

    fit: "squash" keeps the whole picture and changes its aspect ratio
    """

    kind: Literal["image"]
    size: int
    fit: Literal["squash"]
    filter: Literal["bicubic"]
    mean: float
    scale: float

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}: must be 1 or more")
        if not self.scale > 0:
            raise ValueError(f"scale is {self.scale}: must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPreprocess:
    """A sentence -> x (tokens, width) summed embeddings and mask (tokens,) of 0 and 1.

    table: one row of `width` codes a token, 4 bits each, asymmetric in groups of `group` (edge.runtime.int4)
    """

    kind: Literal["text"]
    tokenizer: PurePosixPath
    tokens: int
    width: int
    table: PurePosixPath
    group: int
    positions: PurePosixPath

    def __post_init__(self) -> None:
        for path in (self.tokenizer, self.table, self.positions):
            check_inside(path)
        if self.tokens < 1 or self.group < 1 or self.width < 1 or self.width % self.group or self.width % 2:
            raise ValueError(
                f"tokens is {self.tokens}, width {self.width}, group {self.group}: must be 1 or more,"
                " width even and a multiple of group"
            )
