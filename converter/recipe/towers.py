"""What a recipe says of data and encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from converter.recipe.checks import require
from edge.bundle import MAX_OUTLIERS

Format = Literal["float32", "float16", "weight-int8", "dynamic-int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """Which reader opens the folder that `--data` names.

    held:      share of the train items that healing never sees; labels, predictor and calibration come from them
    purpose:   what the licence of the data allows the bundle to be used for
    credit:    one line for the manifest
    """

    kind: Literal["flickr8k", "coco", "clotho", "uci-har", "memes", "pairs", "folder", "demo", "none"]
    held: float = 0.25
    purpose: str = "for evaluation"
    credit: str = ""

    def __post_init__(self) -> None:
        require((0.1 <= self.held <= 0.5, f"held is {self.held}: must be from 0.1 to 0.5"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecipe:
    """The tower of what is remembered.

    checkpoint: folder or hub id; `--checkpoint` goes before it. "" for towers that come with a package
    exits:      depths that get a head, the end among them or not: it always gets one
    choose:     how many exits to choose by what they cost held-out items, in place of `exits`; 0 takes `exits`. Costs
                are measured milliseconds: a second build may choose others whatever the seed; within a build the choice
                is made once
    cuts:       further depths where a segment ends
    formats:    of the segments, the fastest first
    outliers:   channels of an activation that the device's INT4 cache keeps in float16; each costs 2 bytes a token
    """

    kind: Literal["vit", "clip", "siglip", "efficientnet-lite0"]
    checkpoint: str = ""
    exits: tuple[int, ...]
    choose: int = 0
    cuts: tuple[int, ...] = ()
    formats: tuple[Format, ...] = ("dynamic-int8", "float16")
    outliers: int = 0

    def __post_init__(self) -> None:
        exits, cuts = list(self.exits), list(self.cuts)
        require(
            (self.choose >= 0, f"choose is {self.choose}: must be 0 or more"),
            (not (self.choose and exits), f"exits is {self.exits} and choose {self.choose}: name exits or a number"),
            (exits == sorted(set(exits)) and min(exits, default=1) >= 1, f"exits is {self.exits}: must rise from 1"),
            (cuts == sorted(set(cuts)) and min(cuts, default=1) >= 1, f"cuts is {self.cuts}: must rise from 1"),
            (bool(self.formats), "formats is empty: must name one or more"),
            (0 <= self.outliers <= MAX_OUTLIERS, f"outliers is {self.outliers}: must be 0 to {MAX_OUTLIERS}"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecipe:
    """The tower of questions.

    tokens: longest sentence; 0 takes the checkpoint's own length
    table:  how token rows are stored; group: values that share a scale in int4
    """

    kind: Literal["minilm", "clip", "siglip"]
    checkpoint: str = ""
    tokens: int = 0
    table: Literal["int4", "float16"] = "int4"
    group: int = 64
    formats: tuple[Format, ...] = ("dynamic-int8", "weight-int8")

    def __post_init__(self) -> None:
        require(
            (self.tokens == 0 or 4 <= self.tokens <= 512, f"tokens is {self.tokens}: must be 0, or 4 to 512"),
            (self.group >= 2, f"group is {self.group}: must be 2 or more"),
            (bool(self.formats), "formats is empty: must name one or more"),
        )
