"""What decides where an item leaves its tower, and what makes scores of different exits comparable. See FORMAT.md.

Shapes: N items, E exits of the tower, F features. All tensors are float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from edge.bundle.models import Model, check_inside

Policy: TypeAlias = Literal["fixed", "predict", "gate"]
LEAST_ROWS = 20  # of a bank: the numbers that are made of it use its 20 best
SCALE = 20.0
_KEPT = 0.95  # of full depth's recall@10, by the setting that is recommended; in 19 of 20 samples, see `kept_at_10`
_ROUNDED = 1e-3  # what shares that were written with a few decimals may miss of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """P(an item is relevant) = sigmoid(cosine * c + offset), c its cosine with the query at this exit.

    offset = mean * m + spread * s + top * t + bias, with the mean, the standard deviation and the mean of the 10
    largest of the item's similarities to the bank at this exit (edge.relevance): one number an item.

    scale: of similarities in a softmax over the bank
    """

    cosine: float
    mean: float
    spread: float
    top: float
    bias: float
    scale: float = SCALE

    def __post_init__(self) -> None:
        for name in ("cosine", "mean", "spread", "top", "bias", "scale"):
            _check_finite(name, getattr(self, name))
        for name in ("cosine", "scale"):  # a cosine that counts against relevance would turn every ranking round
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Stock queries as the query tower's features (rows, width), before its heads: one bank serves every exit."""

    path: PurePosixPath
    rows: int
    width: int

    def __post_init__(self) -> None:
        check_inside(self.path)
        if self.rows < LEAST_ROWS or self.width < 1:
            raise ValueError(f"rows is {self.rows}, width {self.width}: must be {LEAST_ROWS} or more and 1 or more")

    @property
    def bytes(self) -> int:
        """Size of the file: each row has a float16 scale and `width` int8 codes."""
        return self.rows * (2 + self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """Says early at which exits an item would survive the filter: (N, F) -> (N, E) logits.

    norm: 2 F little-endian float32, means and then scales of the inputs, which are standardised before the model
    """

    model: Model
    norm: PurePosixPath

    def __post_init__(self) -> None:
        check_inside(self.norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySetting:
    """A policy at one place of its knob, and what was measured there on validation items.

    centre: c of the anchored rule, in layers
    cost:   mean share of the milliseconds of full depth
    exits:  share of the items that leave at each exit
    kept_at_10: share of full depth's recall@10 that it keeps at least, the lower end of a one-sided interval of 95 %
    """

    policy: Literal["fixed", "predict", "gate"]
    centre: float
    cost: float
    recall_at_1: float
    recall_at_10: float
    kept_at_10: float
    exits: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_finite("centre", self.centre)
        for name in ("cost", "recall_at_1", "recall_at_10"):
            _check_share(name, getattr(self, name))
        _check_finite("kept_at_10", self.kept_at_10)
        if self.kept_at_10 < 0:  # above 1 where a shallow exit finds more than the last
            raise ValueError(f"kept_at_10 is {self.kept_at_10}: must be 0 or more")
        for share in self.exits:
            _check_share("exits", share)
        if abs(sum(self.exits) - 1) > _ROUNDED:
            raise ValueError(f"exits {list(self.exits)} must add up to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of a tower. The anchored rule is in edge.policy.

    default:  what won on validation items
    stray:    how far a prediction may take an item from the centre; 0: not at all
    survival: mean over items of what is predicted for each exit, (E,)
    """

    default: Policy
    stray: float
    survival: tuple[float, ...]
    settings: tuple[PolicySetting, ...]

    def __post_init__(self) -> None:
        _check_finite("stray", self.stray)
        if self.stray < 0:
            raise ValueError(f"stray is {self.stray}: must be 0 or more")
        for share in self.survival:
            _check_share("survival", share)
        for setting in self.settings:
            if len(setting.exits) != len(self.survival):
                raise ValueError(
                    f"a setting of {setting.policy} has shares of {len(setting.exits)} exits,"
                    f" survival those of {len(self.survival)}"
                )
        if self.default not in {setting.policy for setting in self.settings}:
            raise ValueError(f"default is {self.default}: settings must have one of it at least")

    def recommended(self, policy: Policy) -> PolicySetting:
        """The cheapest setting of `policy` that keeps 95 % of full depth's recall@10 at least; else full depth.

        Raises ValueError that lists the policies there are.
        """
        full = max(self._of("fixed"), key=lambda one: one.cost)
        enough = [one for one in self._of(policy) if one.kept_at_10 >= _KEPT]
        return min(enough, key=lambda one: one.cost, default=full)

    def nearest(self, policy: Policy, cost: float) -> PolicySetting:
        """The setting of `policy` whose measured cost is nearest to `cost`, the cheaper of two equally near.

        Raises ValueError that lists the policies there are.
        """
        return min(self._of(policy), key=lambda setting: (abs(setting.cost - cost), setting.cost))

    def _of(self, policy: Policy) -> list[PolicySetting]:
        known = [setting for setting in self.settings if setting.policy == policy]
        if not known:
            names = sorted({setting.policy for setting in self.settings})
            raise ValueError(f"policy {policy} has no setting: there are {', '.join(names)}")
        return known


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}: must be a finite number")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}: must be from 0 to 1")
