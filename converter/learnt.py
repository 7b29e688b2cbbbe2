"""Everything that a build has learnt about one item tower, as `export` writes it and `pack` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from edge.bundle import Calibration, Policies
from edge.items import Floats
from edge.relevance import Norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """net: standardised inputs (N, F) -> (N, E) logits; samples: (S, F) of its inputs, to calibrate INT8 with."""

    net: nn.Module
    norm: Norm
    samples: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """exits: depths, the end last; everything by depth has one entry for each of them.

    items:        activation (N, *shape) -> (N, D); queries: query tower's features (N, F) -> (N, D), one and the same
                  module for several exits where they share a space
    costs:        share of the milliseconds of full depth; 1 at the end
    dimension:    D; width: F
    bank:         (R, F) stock queries as features of the query tower; None without enough pairs
    calibrations: by depth; empty where not calibrated; notes: of texts as items, None where they are not
    gates:        by depth, bank numbers -> logits, standardised by their buffers `mean` and `scale`; empty without
    """

    exits: tuple[int, ...]
    items: Mapping[int, Any]
    queries: Mapping[int, nn.Module]
    costs: Mapping[int, float]
    dimension: int
    width: int
    bank: Floats | None = None
    calibrations: Mapping[int, Calibration] = field(default_factory=dict)
    notes: Calibration | None = None
    predictor: Predictor | None = None
    gates: Mapping[int, nn.Module] = field(default_factory=dict)
    policies: Policies | None = None
