"""What a recipe says of labels, predictor, gates, calibration and of what verify insists on."""

from __future__ import annotations

from dataclasses import dataclass

from converter.recipe.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecipe:
    """Survival labels: whether an item is among the best `survive` of 1,000 for the queries that should find it.

    folds: parts of the held-out items; the heads that label one part have learnt from all others
    """

    folds: int = 2
    survive: int = 20

    def __post_init__(self) -> None:
        require(
            (self.folds >= 2, f"folds is {self.folds}: must be 2 or more"),
            (self.survive >= 1, f"survive is {self.survive}: must be 1 or more"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRecipe:
    """The pre-exit predictor and the gates: small nets that say which exit an item would survive at.

    stray: how far an item may leave the knob's depth for its prediction (w of the anchored rule)
    """

    hidden: int = 64
    epochs: int = 15
    batch: int = 256
    rate: float = 1e-3
    decay: float = 0.3
    dropout: float = 0.4
    nets: int = 3
    stray: float = 60.0

    def __post_init__(self) -> None:
        require(
            (self.hidden >= 1, f"hidden is {self.hidden}: must be 1 or more"),
            (self.epochs >= 1, f"epochs is {self.epochs}: must be 1 or more"),
            (self.nets >= 1, f"nets is {self.nets}: must be 1 or more"),
            (self.stray >= 0, f"stray is {self.stray}: must be 0 or more"),
            (0 <= self.dropout < 1, f"dropout is {self.dropout}: must be from 0 to below 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateRecipe:
    """bank: stock query embeddings in the bundle; non_matches: random wrong items beside each right one."""

    bank: int = 1500
    non_matches: int = 20

    def __post_init__(self) -> None:
        require(
            (self.bank >= 20, f"bank is {self.bank}: must be 20 or more"),
            (self.non_matches >= 1, f"non_matches is {self.non_matches}: must be 1 or more"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRecipe:
    """cosine: least with torch at every exit; recall_loss: most of recall@10 that an export may cost, absolute."""

    cosine: float = 0.99
    recall_loss: float = 0.02

    def __post_init__(self) -> None:
        require(
            (0 < self.cosine <= 1, f"cosine is {self.cosine}: must be above 0 and at most 1"),
            (0 <= self.recall_loss <= 1, f"recall_loss is {self.recall_loss}: must be from 0 to 1"),
        )
