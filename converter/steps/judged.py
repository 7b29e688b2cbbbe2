"""The test side: every exit through its files, every policy by the nets that ship, as the report shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from converter.calibration import calibrated, item_numbers
from converter.labels import Rows, query_ranks_of, survival
from converter.policies import Scene, gated, predicted
from converter.predictor import Gate
from edge.bundle import SCALE, Calibration
from edge.items import Floats
from edge.policy import Rule
from edge.relevance import Profile, gate_inputs

Decide = Callable[[Rule], Rows]


class Judged:
    """The test items and their queries, by exit.

    items: (E, N, D); queries: (E, Q, D); owners: (Q,); bank: (E, R, D); pooled: (N, F) at the first exit
    """

    def __init__(self, arrays: dict[str, Floats], costs: Sequence[float], layers: int) -> None:
        self.items, self.queries, self.bank = arrays["items"], arrays["queries"], arrays["bank"]
        self.owners: Rows = arrays["owners"].astype(np.int64)
        self._pooled = arrays["pooled"]
        self._costs, self._layers = np.array(costs, dtype=np.float32), layers
        self.raw = self._scene([queries @ items.T for queries, items in zip(self.queries, self.items, strict=True)])

    def calibrated(self, maps: Sequence[Calibration]) -> Scene:
        """Scores as probabilities' logits."""
        return self._scene(
            [
                calibrated(cosines, item_numbers(items, bank), one)
                for cosines, items, bank, one in zip(self.raw.logits, self.items, self.bank, maps, strict=True)
            ]
        )

    @torch.no_grad()
    def decisions(self, nets: dict[str, Gate]) -> dict[str, Decide]:
        """`predict` and `gate` by the nets that ship."""
        profiles = [Profile.of(items, bank, SCALE) for items, bank in zip(self.items, self.bank, strict=True)]
        read = np.concatenate([profiles[0].numbers, self._pooled], axis=1)
        early = _apply(nets["predictor"], read)
        gates = [
            _apply(nets[f"gate-{number}"], gate_inputs(here, profiles[number - 1] if number else None))
            for number, here in enumerate(profiles)
        ]
        return {"predict": predicted(early), "gate": gated(gates)}

    def oracle(self, scene: Scene, survive: int, seed: int) -> tuple[Scene, Decide]:
        """The split oracle: exits from three of five queries of an item, judged on the others alone.

        One query is always left over, of items that have two or more; without any such item nothing can be judged.
        """
        place = np.zeros(len(self.owners), dtype=np.int64)
        for owner in np.unique(self.owners):
            mine = np.flatnonzero(self.owners == owner)
            place[mine] = np.random.default_rng((seed, int(owner))).permutation(len(mine))
        counts = np.bincount(self.owners)[self.owners]
        told = place < np.clip(np.ceil(counts * 0.6), 1, np.maximum(1, counts - 1))
        ranks = query_ranks_of(scene.logits[:, told], self.owners[told])
        known = survival(ranks, self.owners[told], scene.logits.shape[2], survive)
        rest = ~told
        judged = Scene(scene.logits[:, rest], self.owners[rest], scene.costs, scene.layers)
        return judged, predicted(known)

    def _scene(self, logits: list[Floats]) -> Scene:
        return Scene(np.stack(logits), self.owners, self._costs, self._layers)


def _apply(net: Gate, x: Floats) -> Floats:
    made: Floats = torch.sigmoid(net(torch.from_numpy(x.astype(np.float32)))).numpy()
    return made
