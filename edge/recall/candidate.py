"""What the rounds hand on: an item, and how well it fits as far as is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.relevance import sigmoid


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item id, the depth of its embedding, the cosine there with the question, and the logit of its relevance.

    logit:      None where the bundle is not calibrated
    is_earlier: an earlier bundle embedded it: depth, cosine and logit are that one's
    modality:   of the item
    """

    item: int
    depth: int
    score: float
    logit: float | None = None
    is_earlier: bool = False
    modality: str = "image"

    @property
    def order(self) -> tuple[bool, bool, float, int]:
        """Sorts the best first. A cosine says nothing beside a probability, nor beside one of another bundle.

        So cosines come behind probabilities, and behind those of the present bundle the ones of an earlier.
        """
        if self.logit is not None:
            return False, False, -self.logit, self.item
        return True, self.is_earlier, -self.score, self.item

    @property
    def relevance(self) -> float | None:
        """The probability that it is what was asked for."""
        return None if self.logit is None else float(sigmoid(np.array(self.logit, dtype=np.float32)))
