"""Where the items of a batch leave their tower: `fixed`, `predict` (once, early), `gate` (at every exit).

The rule is edge.policy's; here the bundle's nets say what it is given. Source: Reminisce, data-aware exits.
Shapes: N items that ride, E exits. All tensors float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edge.bundle import PolicySetting, Predictor, Tower
from edge.config import RememberConfig
from edge.errors import BundleError, UsageError
from edge.items import Floats
from edge.policy import Exits, Rule, choose, leaves
from edge.relevance import NUMBERS, Norm, Profile, gate_inputs, pooled, predictor_inputs, sigmoid
from edge.runtime import Invoke

UNDECIDED = -1
_USUAL_COST = 0.5  # of a bundle without policies, which does not say what is enough


@dataclass(frozen=True, slots=True)
class Stop:
    """The riders at one exit: its number, their activation (N, ...) there, and them beside the bank here and before."""

    number: int
    activation: Floats
    here: Profile
    before: Profile | None


class Policy(Protocol):
    """Decides for riders that are all undecided, or for none."""

    def known(self, count: int) -> Exits | None:
        """(count,) exits that are certain before the first one is reached; None: it must see the riders."""

    def decide(self, stop: Stop) -> Exits:
        """(N,) number of the exit where each rider leaves, this one or deeper; UNDECIDED: ask again at the next."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every item leaves at exit number `exit_`."""

    exit_: int

    def known(self, count: int) -> Exits | None:
        """See `Policy.known`."""
        return np.full(count, self.exit_)

    def decide(self, stop: Stop) -> Exits:
        """See `Policy.decide`."""
        return np.full(len(stop.activation), self.exit_)


class Predict:
    """At the first exit, for good, by the predictor."""

    def __init__(self, predictor: Predictor, norm: Norm, rule: Rule, invoke: Invoke) -> None:
        self._model, self._norm, self._rule, self._invoke = predictor.model, norm, rule, invoke

    def known(self, count: int) -> Exits | None:  # noqa: ARG002 - see Policy
        """See `Policy.known`."""
        return None

    def decide(self, stop: Stop) -> Exits:
        """See `Policy.decide`."""
        x = predictor_inputs(stop.here.numbers, stop.activation, self._norm)
        return choose(sigmoid(self._invoke(self._model, {"x": x})), self._rule)


class Gates:
    """At every exit anew, by its gate: whoever finds this exit the best of this and all deeper ones leaves."""

    def __init__(self, tower: Tower, rule: Rule, invoke: Invoke) -> None:
        self._exits, self._rule, self._invoke = tower.exits, rule, invoke

    def known(self, count: int) -> Exits | None:  # noqa: ARG002 - see Policy
        """See `Policy.known`."""
        return None

    def decide(self, stop: Stop) -> Exits:
        """See `Policy.decide`."""
        gate = self._exits[stop.number].gate
        if stop.number == len(self._exits) - 1 or gate is None:
            return np.full(len(stop.activation), stop.number)
        known = sigmoid(self._invoke(gate, {"x": gate_inputs(stop.here, stop.before)}))
        return np.where(leaves(known, self._rule, stop.number), stop.number, UNDECIDED)


def choose_setting(tower: Tower, config: RememberConfig) -> PolicySetting | int:
    """The policy's setting, or the number of a fixed exit where it is named, or where the bundle has no policies.

    Raises UsageError.
    """
    if config.exit_depth is not None:
        try:
            return tower.exits.index(tower.exit_at(config.exit_depth))
        except ValueError as error:
            raise UsageError(f"remember.exit_depth: {error}") from None
    if tower.policies is None:
        if config.policy in {"predict", "gate"}:
            raise UsageError(f"remember.policy is {config.policy}: this bundle has no policies, only fixed")
        return _nearest_exit(tower, config.cost or _USUAL_COST)
    name = tower.policies.default if config.policy == "auto" else config.policy
    try:
        if config.cost is None:
            return tower.policies.recommended(name)
        return tower.policies.nearest(name, config.cost)
    except ValueError as error:
        raise UsageError(f"remember.policy: {error}") from None


def open_policy(tower: Tower, config: RememberConfig, folder: Path, invoke: Invoke) -> Policy:
    """What `config` asks for; `folder` is the bundle's, `invoke` runs its nets. Raises UsageError, BundleError."""
    setting = choose_setting(tower, config)
    if isinstance(setting, int):
        return Fixed(setting)
    rule = Rule.of(tower, setting)
    match setting.policy:
        case "predict" if tower.predictor:
            return Predict(tower.predictor, _norm(tower, tower.predictor, folder), rule, invoke)
        case "gate":
            return Gates(tower, rule, invoke)
        case _:
            return Fixed(int(choose(rule.survival[None], rule)[0]))


def _nearest_exit(tower: Tower, cost: float) -> int:
    """The shallower of two exits equally near; depth stands for a cost that was not measured."""
    away = [abs((place.cost or place.depth / tower.layers) - cost) for place in tower.exits]
    return away.index(min(away))


def _norm(tower: Tower, predictor: Predictor, folder: Path) -> Norm:
    path = folder / predictor.norm
    norm = Norm.read(path)
    first = tower.segments[tower.exits[0].segment]
    try:
        width = NUMBERS + pooled(np.zeros((1, *first.output), dtype=np.float32)).shape[1]
    except ValueError as error:
        raise BundleError(f"the predictor cannot read the first exit: {error}") from None
    if len(norm.mean) != width:
        raise BundleError(f"{path} is for {len(norm.mean)} inputs, the first exit gives {width}: convert again")
    return norm
