"""The anchored rule: where an item leaves its tower, given what is predicted of its survival at each exit.

An item leaves at the exit e with the least (L * cost_e - c)^2 / 2 - stray * (s_e - mean_e): near the centre c, except
where its survival s_e stands out from what is usual there. A rule without the anchor, cost against survival, throws
nearly everything from the first exit to the last: mean survival is almost a straight line over depth.

Shapes: N items, E exits. All tensors float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.bundle import PolicySetting, Tower
from edge.items import Floats

Exits = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """The anchored rule of one tower at one setting.

    costs:    (E,) rising shares of the milliseconds of full depth
    survival: (E,) means of what is predicted
    layers:   L; centre: c, in layers; stray: 0 leaves everything at the exit nearest to the centre
    """

    costs: Floats
    survival: Floats
    layers: int
    stray: float
    centre: float

    @classmethod
    def of(cls, tower: Tower, setting: PolicySetting) -> Rule:
        """The policy `fixed` never strays. Raises ValueError for a tower without policies."""
        if tower.policies is None:
            raise ValueError(f"the {tower.modality} tower has no policies")
        stray = 0.0 if setting.policy == "fixed" else tower.policies.stray
        costs = np.array([place.cost for place in tower.exits], dtype=np.float32)
        survival = np.array(tower.policies.survival, dtype=np.float32)
        return cls(costs, survival, tower.layers, stray, setting.centre)


def choose(survival: Floats, rule: Rule) -> Exits:
    """Predicted survival (N, E) -> (N,) number of the exit where each item leaves; of equal ones the shallowest."""
    made: Exits = penalties(survival, rule).argmin(1)
    return made


def leaves(survival: Floats, rule: Rule, exit_: int) -> npt.NDArray[np.bool_]:
    """Predicted survival (N, E - exit_) at this and all deeper exits -> (N,) whether this is the best of them.

    At the last exit everything leaves.
    """
    made: npt.NDArray[np.bool_] = penalties(survival, rule, exit_).argmin(1) == 0
    return made


def penalties(survival: Floats, rule: Rule, first: int = 0) -> Floats:
    """What the rule minimises: (N, E - first) for the exits from number `first` on."""
    away = rule.layers * rule.costs[first:] - rule.centre
    made: Floats = away**2 / 2 - rule.stray * (survival - rule.survival[first:])
    return made
