"""Below which relevance an answer is better left out: chosen on half of the photos' questions, judged on the others'.

`min_relevance` looks at each hit alone, and a person sees all ten: a true hit is the question's own photo among them,
wherever it stands. Beside that is the milder reading, the own photo as the first hit. An answer is false when anything
is left in it although the photo that was asked for is not there, nor what looks like it and may be as right an answer.
How much looks like it nobody knows, so that there are three widths of it.

Shapes: P photos, Q questions, D the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge.bench.recall.device import HITS, Kept
from edge.bench.recall.judging import Judge, Stored
from edge.items import Floats
from edge.relevance import sigmoid

Near: TypeAlias = npt.NDArray[np.bool_]
WITHIN = (1, HITS)
KEEP = 0.85  # of the true hits, at least
CHOSEN = 0.88  # of those of the first half: two halves of 500 photos differ by some points
QUANTILES = (0.99, 0.95, 0.9)  # of the cosines of any two photos: those above are near neighbours
NEAREST = 10  # of a photo, which are near neighbours in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Answers of the second half's questions without their photo and its near neighbours.

    quantile, cosine: of two photos at the last exit, above which they are near; removed: photos so near to one, mean
    auroc:            of the best relevance of an answer with all photos, against one without these
    false:            share of answers that still hold something
    """

    quantile: float
    cosine: float
    removed: float
    auroc: float
    false: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """A `min_relevance` for answers of one memory with `pool` finished; 0: coarse only.

    within:   a true hit is the question's own photo among the first so many
    least:    chosen on the questions of every second photo, of whose true hits it keeps CHOSEN
    first:    share that it keeps of the own photos that come first, for the questions of the other photos
    ten:      of those that are among the ten hits; answered: share of answers in which it leaves something
    absences: by falling quantile
    """

    kept: Kept
    pool: int
    within: int
    least: float
    first: float
    ten: float
    answered: float
    absences: Sequence[Absence]


def cutoffs(judge: Judge, stored: Stored, kept: Kept, pool: int) -> list[Cutoff]:
    """For all of WITHIN; none where nothing says how relevant a result is, or nothing is found."""
    if not judge.is_calibrated:
        return []
    chosen_on = judge.owners % 2 == 0
    present = judge.pools(stored, "calibrated")
    best = judge.best(stored, present, pool)[~chosen_on]
    first, ten = (sigmoid(judge.own(stored, present, pool, within)) for within in WITHIN)
    gone = [neighbours(stored.fine, quantile) for quantile in QUANTILES]
    absent = [
        judge.best(stored, judge.pools(stored, "calibrated", without=near[judge.owners]), pool)[~chosen_on]
        for near, _ in gone
    ]
    made: list[Cutoff] = []
    for within, own in zip(WITHIN, (first, ten), strict=True):
        if np.isnan(own[chosen_on]).all():
            continue
        least = threshold(own[chosen_on & ~np.isnan(own)])
        absences = [
            Absence(
                quantile=quantile,
                cosine=cosine,
                removed=float(near.sum(1).mean()) - 1,
                auroc=auroc(best, left),
                false=float((sigmoid(left) >= least).mean()),
            )
            for quantile, (near, cosine), left in zip(QUANTILES, gone, absent, strict=True)
        ]
        made.append(
            Cutoff(
                kept=kept,
                pool=pool,
                within=within,
                least=least,
                first=_reach(first[~chosen_on], least),
                ten=_reach(ten[~chosen_on], least),
                answered=float((sigmoid(best) >= least).mean()),
                absences=absences,
            )
        )
    return made


def _reach(own: Floats, least: float) -> float:
    """Share of the hits that are not NaN; 0 where all are."""
    return float((own >= least).sum() / max(1, (~np.isnan(own)).sum()))


def neighbours(embeddings: Floats, quantile: float) -> tuple[Near, float]:
    """(P, D) of unit norm -> (P, P) whether the second is the first or near it, and the cosine above which it is."""
    cosines = embeddings @ embeddings.T
    limit = float(np.quantile(cosines[~np.eye(len(cosines), dtype=np.bool_)], quantile))
    np.fill_diagonal(cosines, np.inf)
    near: Near = cosines > limit
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : NEAREST + 1]
    np.put_along_axis(near, nearest, values=True, axis=1)
    return near, limit


def threshold(hits: Floats) -> float:
    """The largest value that at least CHOSEN of `hits` reach."""
    return float(np.sort(hits)[int((1 - CHOSEN) * len(hits))])


def auroc(high: Floats, low: Floats) -> float:
    """How often one of `high` is above one of `low`; equal ones count half."""
    ranked = np.sort(low)
    below, upto = (np.searchsorted(ranked, high, side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(low)))
