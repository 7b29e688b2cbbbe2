"""The anytime curve: what an answer is worth that must be there by a deadline. Source: Reminisce, its Fig. 5b."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from edge.bench.recall.asking import Ask, Asking
from edge.bench.recall.device import POOL, Device
from edge.bench.recall.figures import Point, percentiles
from edge.bench.recall.judging import Judge, Pools, Recall, Stored
from edge.errors import RefusedError

SHARES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3)  # of the way from the coarse answer to the whole one
FIRST = 6  # questions that tell how long that is
EACH = 15  # questions for each deadline


class Curve:
    """Of one device. Questions are numbers of `captions`, whose recall `judge` knows."""

    def __init__(self, asking: Asking, device: Device, judge: Judge, stored: Stored, captions: Sequence[str]) -> None:
        self._asking, self._device, self._captions = asking, device, captions
        self._judge, self._stored = judge, stored
        self._pools: Pools = judge.pools(stored, "calibrated")
        self._known: dict[int, Recall] = {}

    def same(self, questions: Sequence[int]) -> float:
        """Share of whole answers whose hits are those that `judge` counts."""
        same = 0
        for number in tqdm(questions, "checking answers", unit=" questions", leave=False, disable=None):
            told = self._asking.ask(self._device, Ask(self._captions[number], POOL, collapse=False))
            hits = [item - 1 for item in told.items]
            same += hits == self._judge.best_photos(self._stored, self._pools, POOL, number, len(hits))
        return same / len(questions)

    def points(self, questions: Sequence[int]) -> list[Point]:
        """By rising deadline, with all deadlines asked in turn.

        They lie between this machine's own coarse and whole answer, so that the curve has a shape on any. Questions
        that came too late for any answer do not count.
        """
        pace = [[self._ask(number, pool)[0] for number in questions[:FIRST]] for pool in (0, POOL)]
        low, high = np.median(pace, axis=1).tolist()
        deadlines = sorted({max(1, round(low + share * (high - low))) for share in SHARES})
        rest = questions[FIRST:]
        answers: dict[int, list[tuple[float, int]]] = {deadline: [] for deadline in deadlines}
        bar = tqdm(rest, f"deadlines, {self._device.job.kept}", unit=" questions", leave=False, disable=None)
        for turn, number in enumerate(bar):
            deadline = deadlines[turn % len(deadlines)]  # no text twice: the second time it costs no text pass
            try:
                answers[deadline].append(self._ask(number, POOL, deadline))
            except RefusedError as error:
                if error.code != "expired":  # on its way to a busy machine's device; one that came earlier counts
                    raise
        return [self._point(deadline, found) for deadline, found in answers.items() if found]

    def _ask(self, number: int, pool: int, deadline_ms: int | None = None) -> tuple[float, int]:
        """Milliseconds, and how many of the pool were finished for it."""
        told = self._asking.ask(self._device, Ask(self._captions[number], pool, deadline_ms=deadline_ms))
        return told.total_ms, told.refined - int(self._pools.done[number, :pool].sum())

    def _point(self, deadline_ms: int, found: Sequence[tuple[float, int]]) -> Point:
        p50, p95 = percentiles([took for took, _ in found])
        each = [self._recall(finished) for _, finished in found]
        mean = Recall(*(float(np.mean([getattr(one, cut) for one in each])) for cut in Recall.__slots__))
        refined = float(np.mean([finished for _, finished in found]))
        return Point(
            kept=self._device.job.kept, deadline_ms=deadline_ms, p50_ms=p50, p95_ms=p95, refined=refined, recall=mean
        )

    def _recall(self, finished: int) -> Recall:
        if finished not in self._known:
            self._known[finished] = self._judge.recall(self._stored, self._pools, POOL, finished)
        return self._known[finished]
