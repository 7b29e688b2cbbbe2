"""The types of `manifest.json`: what a bundle holds. `edge` owns them, `converter` writes them. See FORMAT.md.

Shapes: N items, D the shared embedding space; a tower's activations have the shape that its segments say.
All tensors are float32.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from edge.bundle.models import Model, check_inside
from edge.bundle.policies import Bank, Calibration, Policies, Predictor
from edge.bundle.preprocess import ImagePreprocess, TextPreprocess
from edge.errors import BundleError

SCHEMA = 3
MAX_OUTLIERS = 8


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
    """A segment's end that has a head: activation (N, *output) -> embedding (N, D), rows of unit L2 norm.

    query:       granularity head for questions about items stored here: the query tower's features (N, F) -> (N, D),
                 rows of unit L2 norm; None: the query tower's own last head
    calibration: what a cosine here says about relevance
    gate:        (N, G) -> (N, E - e) logits of surviving at this and each deeper exit, see edge.relevance
    cost:        share of the milliseconds of full depth; None: not measured
    """

    depth: int
    segment: int
    head: Model
    query: Model | None = None
    calibration: Calibration | None = None
    gate: Model | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        if self.cost is not None and not 0 < self.cost <= 1:
            raise ValueError(f"cost is {self.cost}: must be above 0 and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """The encoder of one modality: segments in order, and the exits among their ends, shallow to deep.

    predictor: for the policy `predict`
    policies:  None: items leave at the exit that the config names
    outliers:  channels of an activation that the INT4 cache keeps in float16
    """

    modality: Literal["image", "text"]
    layers: int
    preprocess: ImagePreprocess | TextPreprocess
    segments: tuple[Segment, ...]
    exits: tuple[Exit, ...]
    predictor: Predictor | None = None
    policies: Policies | None = None
    outliers: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.outliers <= MAX_OUTLIERS:
            raise ValueError(f"outliers is {self.outliers}: must be 0 to {MAX_OUTLIERS}")
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
        _check_costs(self.exits)
        if self.policies:
            _check_policies(self, self.policies)

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
    bank:        stock queries that items are compared with, for calibration and policies
    calibrated:  every exit at which pictures are stored has a calibration; else none has, notes' neither
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
    bank: Bank | None = None
    calibrated: bool = False
    build: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.files:
            check_inside(PurePosixPath(path))
        modalities = [tower.modality for tower in self.towers]
        if len(set(modalities)) < len(modalities):
            raise ValueError(f"towers are {', '.join(modalities)}: must be one for each modality")
        named = {str(path) for tower in self.towers for path in _paths(tower)}
        named |= {str(self.bank.path)} if self.bank else set()
        if missing := sorted(named - self.files.keys()):
            raise ValueError(f"files does not list {', '.join(missing)}")
        if self.bank:
            self._check_bank(self.bank)
        for tower in self.towers:
            self._check_calibration(tower)

    @property
    def takes_notes(self) -> bool:
        """Whether texts can be items: their scores must be as comparable as those of pictures are."""
        return any(
            tower.modality == "text" and (tower.exits[-1].calibration is not None) == self.calibrated
            for tower in self.towers
        )

    def tower(self, modality: str) -> Tower:
        """The tower of `modality`. Raises BundleError when there is none."""
        for tower in self.towers:
            if tower.modality == modality:
                return tower
        raise BundleError(f"bundle {self.model!r} has no {modality} tower: choose a bundle that has one")

    def segment_hashes(self, tower: Tower) -> tuple[bytes, ...]:
        """For each segment, what made the activation at its end: SHA-256, cut to 16 bytes.

        Over the preprocessing and the files of this and all earlier segments, so that an activation that was stored
        goes on being valid for as long as all of these stay the same, whatever becomes of the rest of the bundle.
        """
        digest = hashlib.sha256(repr(tower.preprocess).encode())
        hashes = []
        for segment in tower.segments:
            for variant in segment.model.variants:
                digest.update(bytes.fromhex(self.files[str(variant.path)].sha256))
            hashes.append(digest.digest()[:16])
        return tuple(hashes)

    def _check_bank(self, bank: Bank) -> None:
        size = self.files[str(bank.path)].bytes
        if size != bank.bytes:
            raise ValueError(f"{bank.path} has {size} bytes: {bank.rows} rows of {bank.width} values have {bank.bytes}")
        for tower in self.towers:
            features = tower.segments[-1].output
            if tower.modality == "text" and features != (bank.width,):
                raise ValueError(f"bank has width {bank.width}, the text tower gives {features} before its heads")

    def _check_calibration(self, tower: Tower) -> None:
        for place in tower.exits:
            # A bundle of before notes has none for them.
            may_lack = tower.modality == "text" and place.calibration is None
            if (place.calibration is not None) != self.calibrated and not may_lack:
                raise ValueError(
                    f"calibrated is {str(self.calibrated).lower()}, but the {tower.modality} exit at depth"
                    f" {place.depth} has {'a' if place.calibration else 'no'} calibration"
                )
        if self.bank is None and (tower.predictor or any(place.calibration or place.gate for place in tower.exits)):
            raise ValueError(f"the {tower.modality} tower compares items with a bank, but there is none")


def _check_costs(exits: tuple[Exit, ...]) -> None:
    """The rule that chooses among exits needs to know of each whether it is dearer than another."""
    costs = [place.cost for place in exits if place.cost is not None]
    if costs and (len(costs) < len(exits) or costs != sorted(costs) or costs[-1] != 1):
        raise ValueError(f"exit costs {[place.cost for place in exits]} must rise to 1, or all be unknown")


def _check_policies(tower: Tower, policies: Policies) -> None:
    exits, named = tower.exits, {policies.default, *(setting.policy for setting in policies.settings)}
    if len(policies.survival) != len(exits):
        raise ValueError(f"policies have the survival of {len(policies.survival)} exits, there are {len(exits)}")
    if exits[-1].cost is None:
        raise ValueError("policies need the cost of every exit")
    if "predict" in named and tower.predictor is None:
        raise ValueError("the policy predict needs a predictor")
    without = [place.depth for place in exits[:-1] if place.gate is None]  # at the last exit there is nothing to choose
    if "gate" in named and without:
        raise ValueError(f"the policy gate needs a gate at every exit but the last: depth {without[0]} has none")


def _paths(tower: Tower) -> tuple[PurePosixPath, ...]:
    models = [segment.model for segment in tower.segments]
    models += [model for place in tower.exits for model in (place.head, place.query, place.gate) if model]
    models += [tower.predictor.model] if tower.predictor else []
    paths = [variant.path for model in models for variant in model.variants]
    paths += [tower.predictor.norm] if tower.predictor else []
    match tower.preprocess:
        case TextPreprocess(tokenizer=tokenizer, table=table, positions=positions):
            paths += [tokenizer, table, positions]
        case ImagePreprocess():
            pass
    return tuple(paths)
