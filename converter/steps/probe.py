"""The probe before healing: where held-out items are first found on the trunk as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from converter.exit_choice import choose_exits
from converter.heads.paired import Pair
from converter.healing.windows import Window, pivot_windows
from converter.labels import Ranks, first_exits, rank_of_own, survival
from converter.steps.catalogue import Captions, Rows


@torch.no_grad()
def probe_ranks(
    features: Mapping[int, Tensor], pairs: Mapping[int, Pair], captions: Captions, held: Rows
) -> tuple[Ranks, Rows]:
    """(E, Q) rank of its own item for each held-out caption at each depth, and (Q,) whose caption it is.

    pairs: heads that have not seen the held items
    """
    rows, known = torch.from_numpy(held), captions.known[held]
    owners = np.nonzero(known)[0]
    asked = captions.features[rows][torch.from_numpy(known)]
    ranks = [
        rank_of_own((pair.query(asked) @ pair.item.embed(features[depth][rows]).T).numpy(), owners)
        for depth, pair in pairs.items()
    ]
    return np.stack(ranks), owners


def probed_windows(
    ranks: Ranks, owners: Rows, items: int, exits: Sequence[int], layers: int, survive: int
) -> tuple[Window, ...]:
    """Healing windows from the histogram of first sufficient exits."""
    counts = np.zeros(layers, dtype=np.int64)
    np.add.at(counts, np.array(exits)[first_exits(ranks, owners, items, survive)] - 1, 1)
    return pivot_windows(counts.tolist(), exits, layers)


def probed_exits(
    ranks: Ranks, owners: Rows, items: int, ms: Sequence[float], count: int, survive: int
) -> tuple[int, ...]:
    """The `count` depths of least expected milliseconds, from ranks at every depth 1 to L."""
    enough = survival(ranks, owners, items, survive) >= 0.5
    return tuple(number + 1 for number in choose_exits(enough, np.array(ms), count).exits)
