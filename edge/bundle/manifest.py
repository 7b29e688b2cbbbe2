"""The types of `manifest.json`: what a bundle holds. `edge` owns them, `converter` writes them. See FORMAT.md.

Shapes: N items, D the shared embedding space; a tower's activations have the shape that its segments say.
All tensors are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from edge.errors import BundleError

SCHEMA = 1
RUNTIMES = ("ai-edge-litert", "tflite-runtime")


def check_inside(path: PurePosixPath) -> None:
    """Refuse a path out of the folder: a bundle may come from anyone and must not make the daemon read elsewhere."""
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(path):
        raise ValueError(f"path {str(path)!r} must stay inside the bundle")
    if not str(path).isprintable():  # a NUL or half a surrogate pair is no file name to the system
        raise ValueError(f"path {str(path)!r} must have printable characters only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One TFLite file of a model; `runtimes` are those that it was run on and found right."""

    path: PurePosixPath
    format: Literal["float32", "float16", "weight-int8", "dynamic-int8"]
    runtimes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_inside(self.path)
        unknown = sorted(set(self.runtimes) - set(RUNTIMES))
        if unknown or not self.runtimes:
            raise ValueError(f"runtimes {list(self.runtimes)} must be some of {', '.join(RUNTIMES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The same function in one or more variants, the fastest first."""

    variants: tuple[Variant, ...]

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError("a model needs at least one variant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of consecutive layers.

    depth:  layers done at its end, counted from 1
    input:  shape of one item's activation on arrival, without the batch
    output: shape at its end
    extra:  further inputs that preprocessing made and every layer needs (a text's mask), by name
    """

    depth: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    model: Model
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A segment's end that has a head: activation (N, *output) -> embedding (N, D), rows of unit L2 norm."""

    depth: int
    segment: int
    head: Model


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """The encoder of one modality: segments in order, and the exits among their ends, shallow to deep."""

    modality: Literal["image", "text"]
    layers: int
    preprocess: ImagePreprocess | TextPreprocess
    segments: tuple[Segment, ...]
    exits: tuple[Exit, ...]

    def __post_init__(self) -> None:
        depths = [segment.depth for segment in self.segments]
        if not depths or depths != sorted(set(depths)) or depths[-1] != self.layers:
            raise ValueError(f"segment depths {depths} must rise to the tower's {self.layers} layers")
        for one, following in zip(self.segments, self.segments[1:], strict=False):
            if one.output != following.input:
                raise ValueError(
                    f"the segment at depth {one.depth} gives {one.output}, the next takes {following.input}"
                )
        if [place.depth for place in self.exits] != sorted({place.depth for place in self.exits}):
            raise ValueError(f"exit depths {[place.depth for place in self.exits]} must rise")
        for place in self.exits:
            if not 0 <= place.segment < len(depths) or depths[place.segment] != place.depth:
                raise ValueError(f"exit at depth {place.depth} names segment {place.segment}, which does not end there")
        if not self.exits or self.exits[-1].depth != self.layers:
            raise ValueError(f"the last exit must be at the end, depth {self.layers}")

    def exit_at(self, depth: int) -> Exit:
        """The exit at `depth`. Raises ValueError that lists the exits there are."""
        for place in self.exits:
            if place.depth == depth:
                return place
        raise ValueError(f"no exit at depth {depth}: there are {', '.join(str(e.depth) for e in self.exits)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """Size and checksum of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole bundle.

    model:       name of the converted model
    purpose:     what its licences allow it to be used for
    attribution: data and weights it was learnt from, with licence
    dimension:   D
    build:       what the converter measured while it made the bundle, by name
    files:       every file but the manifest itself, by path inside the bundle
    """

    schema: int
    model: str
    purpose: str
    licence: str
    attribution: tuple[str, ...]
    dimension: int
    towers: tuple[Tower, ...]
    files: dict[str, FileRecord]
    build: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            check_inside(PurePosixPath(path))
        modalities = [tower.modality for tower in self.towers]
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"towers are {', '.join(modalities)}: must be one for each modality")
        named = {str(path) for tower in self.towers for path in _paths(tower)}
        if missing := sorted(named - self.files.keys()):
            raise ValueError(f"files does not list {', '.join(missing)}")

    def tower(self, modality: str) -> Tower:
        """The tower of `modality`. Raises BundleError when there is none."""
        for tower in self.towers:
            if tower.modality == modality:
                return tower
        raise BundleError(f"bundle {self.model!r} has no {modality} tower: choose a bundle that has one")


def _paths(tower: Tower) -> tuple[PurePosixPath, ...]:
    models = [segment.model for segment in tower.segments] + [place.head for place in tower.exits]
    paths = [variant.path for model in models for variant in model.variants]
    match tower.preprocess:
        case TextPreprocess(tokenizer=tokenizer, table=table, positions=positions):
            paths += [tokenizer, table, positions]
        case ImagePreprocess():
            pass
    return tuple(paths)
