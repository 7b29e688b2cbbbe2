"""The types of `manifest.json`: what a bundle holds. `edge` owns them, `converter` writes them. See FORMAT.md.

Shapes: N items, D the shared embedding space; a tower's activations have the shape that its segments say.
All tensors are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from edge.bundle.models import Model, check_inside
from edge.bundle.preprocess import ImagePreprocess, TextPreprocess
from edge.errors import BundleError

SCHEMA = 1


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
