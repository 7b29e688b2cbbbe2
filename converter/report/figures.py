"""The types of `report.json`: everything that a build measured, as plain numbers and texts.

Recalls, shares and costs are from 0 to 1; `cost` and `share` are of the milliseconds of full depth; depths count layers
from 1. A part that was not done is None or empty, and the page says so in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PolicyName = Literal["fixed", "predict", "gate", "gate+neighbours", "random", "oracle"]
Measure = Literal["recall@1", "recall@10"]
MEASURES: tuple[Measure, ...] = ("recall@1", "recall@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Share of the queries whose item is among the first 1, 5, 10 of the answers."""

    at_1: float
    at_5: float
    at_10: float

    def __post_init__(self) -> None:
        if not 0 <= self.at_1 <= self.at_5 <= self.at_10 <= 1:
            raise ValueError(f"recall is {self.at_1}, {self.at_5}, {self.at_10}: must rise within 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What a search finds that ranks all items at one exit, finishes the best `pool` of them and ranks those again.

    raw: cosine in both rankings; calibrated: probability of relevance in both
    """

    pool: int
    raw: Recall
    calibrated: Recall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitFigures:
    """One exit of the item tower, with its own heads.

    depth:      layers done there; layers: of the whole tower
    share, ms:  TFLite, the quickest run of one item up to and with this exit, and its share of full depth's
    float32_ms: the same in float32, from the same rounds
    before:     recall with heads on the trunk as published, of the same form; None when there was no healing
    raw:        recall by cosine with the heads that ship; calibrated: by probability of relevance
    kept:       two-stage search with every item at this exit
    occupancy:  share of the items that leave here with the default setting
    """

    depth: int
    layers: int
    share: float
    ms: float
    float32_ms: float
    before: Recall | None = None
    raw: Recall | None = None
    calibrated: Recall | None = None
    kept: tuple[Pool, ...] = ()
    occupancy: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= self.layers:
            raise ValueError(f"depth is {self.depth}: must be 1 to layers, which is {self.layers}")
        if min(self.share, self.ms, self.float32_ms) <= 0:
            raise ValueError(f"share is {self.share}, ms {self.ms} and float32_ms {self.float32_ms}: must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """One setting of a policy. cost: mean over items; exits: share of the items that leave at each exit."""

    cost: float
    recall_at_1: float
    recall_at_10: float
    pool: int
    exits: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCurve:
    """A policy at all its settings and pools, ranked by probability of relevance where the bundle is calibrated."""

    name: PolicyName
    points: tuple[PolicyPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A policy against the calibrated fixed exit at equal milliseconds: mean and standard error, paired bootstrap."""

    policy: PolicyName
    measure: Measure
    cost: float
    pool: int
    mean: float
    error: float

    @property
    def wins(self) -> bool:
        """Whether the gain is more than two standard errors."""
        return self.mean > 2 * self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The default: which policy, at which cost, and why, in a sentence. chosen_on: the items that decided it."""

    policy: PolicyName
    cost: float
    pool: int
    reason: str
    chosen_on: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Of `count` answers, what was predicted on average and what share was right."""

    predicted: float
    right: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFigures:
    """How far the probabilities can be believed, over the best `top` answers of each query.

    bins:        equal mass, rising
    brier_base:  the score of always saying base_rate; brier_skill: 1 - brier / brier_base
    gain, error: recall@1 of full depth over its raw cosine, paired; None when not compared
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    brier: float
    brier_base: float
    brier_skill: float
    base_rate: float
    top: int = 50
    gain: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityLine:
    """An exported file against torch: the smallest cosine and the largest difference on held-out items."""

    file: str
    runtime: str
    batch: int
    cosine: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSize:
    """One file of the bundle."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """The mean training loss of the steps up to `step`, counted from 1 within its window."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingWindow:
    """Layers `first` to `last` healed together, with their heads refit; losses as `thinned` gives them."""

    first: int
    last: int
    seconds: float
    losses: tuple[LossPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorFigures:
    """How well survival at the exit `depth` is foreseen, on items not learnt from. None: cannot be said.

    r2:  share of the labels' variance explained; auc: of telling a survivor from another
    """

    policy: PolicyName
    depth: int
    r2: float | None
    auc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """Items whose first sufficient exit is at `depth`; None: no exit is."""

    depth: int | None
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFigures:
    """Survival labels: an exit suffices when the item is among the best `survive` of 1,000 for its queries."""

    survive: int
    counts: tuple[LabelCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCount:
    """What one part of the data is: train, held, validation, test."""

    role: str
    items: int
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFigures:
    """What was learnt from and measured on.

    digest:      SHA-256 over all items with their roles
    measured_on: in words, what recall and policies were measured on
    skipped:     items that could not be read, with the names of the first
    """

    kind: str
    digest: str
    measured_on: str
    counts: tuple[RoleCount, ...]
    skipped: int = 0
    skipped_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured; no host name. timing: how milliseconds were taken, in words."""

    processor: str
    cores: int
    threads: int
    system: str
    timing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A package that took part."""

    package: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What weights or data may be used for: an SPDX id, or "unknown"."""

    of: str
    licence: str
    credit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One build. recipe: `recipe_digest` of what it was told; date: ISO 8601; exits: shallow to deep, the last is full.

    data: None when recall was not measured. An exits histogram has one share for each exit.
    """

    schema: Literal[1] = 1
    model: str
    recipe: str
    seed: int
    date: str
    machine: Machine
    data: DataFigures | None = None
    versions: tuple[Version, ...] = ()
    licences: tuple[Licence, ...] = ()
    healed: bool
    exits: tuple[ExitFigures, ...]
    policies: tuple[PolicyCurve, ...] = ()
    choice: Choice | None = None
    calibration: CalibrationFigures | None = None
    parity: tuple[ParityLine, ...] = ()
    sizes: tuple[FileSize, ...] = ()
    healing: tuple[HealingWindow, ...] = ()
    predictor: tuple[PredictorFigures, ...] = ()
    labels: LabelFigures | None = None

    def __post_init__(self) -> None:
        depths = [place.depth for place in self.exits]
        if not depths or depths != sorted(set(depths)) or depths[-1] != self.exits[-1].layers:
            raise ValueError(f"exit depths {depths} must rise and end at the last layer")
        names = [curve.name for curve in self.policies]
        if len(names) > len(set(names)):
            raise ValueError(f"policies are {', '.join(names)}: must be each once")
        if any(len(point.exits) != len(depths) for curve in self.policies for point in curve.points):
            raise ValueError(f"a policy's histogram must have one share for each of {len(depths)} exits")
