"""What can be found in a memory, and by which deadline: it is filled, counted and asked before it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge.bench.recall.anytime import EACH, FIRST, SHARES, Curve
from edge.bench.recall.asking import open_asking
from edge.bench.recall.baselines import Way
from edge.bench.recall.cutoff import Cutoff, cutoffs
from edge.bench.recall.device import POOL, Job, Kept, Towers, open_device
from edge.bench.recall.figures import Found, Memories, Point
from edge.bench.recall.filling import cost_of, fill
from edge.bench.recall.judging import Judge, Stored
from edge.bench.remember.recalls import embed_captions
from edge.config import MqttConfig
from edge.pairs import Pair

POOLS = (0, 10, 20, POOL, 100)
CHECKED = 20  # questions asked of each device, to see whether it answers as the recalls are counted
_MERGED: Mapping[Way, tuple[int, ...]] = {"single": (0, POOL), "naive": (0, POOL), "calibrated": POOLS}
_FIXED: Mapping[Way, tuple[int, ...]] = {"calibrated": (0, POOL)}
_WAYS: Mapping[Kept, Mapping[Way, tuple[int, ...]]] = {
    "full": {"calibrated": (0,)},
    "default": _MERGED,
    "mixed": _MERGED,
    "first": _FIXED,
    "equal": _FIXED,
}
_CUT_OFF: Mapping[Kept, tuple[int, ...]] = {"full": (0,), "default": (0, POOL), "mixed": (0, POOL)}


class Examiner:
    """Asks all captions of the photos; the attributes are what was found, memory by memory."""

    def __init__(
        self, towers: Towers, pairs: Sequence[Pair], mqtt: MqttConfig | None, chance: np.random.Generator
    ) -> None:
        """mqtt: None where there is no broker; chance: deals the captions that are asked of the devices."""
        self._towers, self._pairs, self._mqtt, self._chance = towers, pairs, mqtt, chance
        self.captions = [caption for pair in pairs for caption in pair.captions]
        owners = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
        spec = towers.image.spec
        self._judge = Judge(spec, embed_captions(towers.text, spec, self.captions), owners)
        self.memories: list[Memories] = []
        self.found: list[Found] = []
        self.cutoffs: list[Cutoff] = []
        self.curve: list[Point] = []

    def examine(self, job: Job) -> Memories:
        """Fill one memory, and see. Raises UnreadableItemError, UsageError, StoreError, BrokerError."""
        kept, judge = job.kept, self._judge
        with (
            open_device(job, self._towers) as device,
            open_asking(self._mqtt, self._towers.failures.append) as asking,
        ):
            stored, fill_s = fill(device, self._towers.text, self._pairs)
            curve = Curve(asking, device, judge, stored, self.captions)
            same = curve.same(self.numbers(CHECKED))
            if _WAYS[kept] is _MERGED:
                self.curve += curve.points(self.numbers(FIRST + EACH * len(SHARES)))
        for way, sizes in _WAYS[kept].items():
            pools = judge.pools(stored, way)
            self.found += [
                Found(kept=kept, way=way, pool=pool, recall=judge.recall(stored, pools, pool)) for pool in sizes
            ]
        for pool in _CUT_OFF.get(kept, ()):
            self.cutoffs += cutoffs(judge, stored, kept, pool)
        exits = _shares(stored)
        cost = cost_of(self._towers.image.spec, exits)
        self.memories.append(Memories(kept=kept, exits=exits, cost=cost, same=same, fill_s=fill_s))
        return self.memories[-1]

    def numbers(self, count: int) -> list[int]:
        """Of captions, drawn anew; each at most once, as long as there are so many."""
        made: list[int] = self._chance.permutation(len(self.captions))[:count].tolist()
        return made


def _shares(stored: Stored) -> dict[int, float]:
    depths, counts = np.unique(stored.depths, return_counts=True)
    return {int(depth): float(count) / len(stored.depths) for depth, count in zip(depths, counts, strict=True)}
