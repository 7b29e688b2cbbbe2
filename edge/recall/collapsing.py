"""Near-duplicates among what was found: one stands for them, the best, and the others are counted and named.

Two items are near-duplicates where the cosine of their embeddings at one exit is THRESHOLD or more.

It was chosen on Flickr8k's train photos, with the shipped bundle (exits at depth 8, 11, 15, 16) and a healed ViT-Tiny
(3, 4, 5, 6, 7, 9, 12), embeddings rounded to float16 as they are stored. False are pairs of different photos out of
3,000, 4,498,500 pairs at each exit; hits are copies beside their originals, of 300 photos, at each exit:

  threshold                      .94          .95          .96          .97
  false, worst exit of each      9 and 4      4 and 1      0 and 0      0 and 0
  saved again, JPEG 75 and 90    1.00         1.00         1.00         1.00
  saved again, JPEG 60           .89 to 1.00  .75 to 1.00  .48 to 1.00  .21 to .99
  2 % cut off, JPEG 85           .90 to 1.00  .83 to 1.00  .58 to .98   .28 to .93
  5 % cut off evenly, JPEG 85    .59 to .96   .38 to .90   .19 to .81   .06 to .65
  5 % cut off at a corner        .39 to .80   .19 to .69   .05 to .58   .01 to .35
  500 to 375 pixels, JPEG 85     .13 to .99   .06 to .96   .03 to .91   .01 to .81
  500 to 250 pixels, JPEG 85     .00 to .50   .00 to .36   .00 to .20   .00 to .08

As a rule the lower figure is a shallow exit's. The closest pairs of different photos are two motorcycles in
a race (.9596) and two German shepherds that run (.9587), at the shipped bundle's last exit: who asks for such a thing
wants both. Photos that are so small are little larger than what the towers see, so that scaling them costs detail.
A pool of 50 takes 0.15 ms where 10 hits are wanted, 0.4 ms where 50 are (384 dimensions, one x86 core).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from edge.items import Floats
from edge.memory import Flags, Rows
from edge.recall.candidate import Candidate
from edge.recall.correcting import Ranked

THRESHOLD = 0.96
REACH = 1_024  # the best so many are compared, 2 MB of embeddings; behind them each stands for itself

Group = tuple[Ranked, ...]
Stored = Callable[[int, Rows], tuple[Flags, Floats]]


def collapse(ranked: Sequence[Ranked], stored: Stored, count: int) -> list[Group]:
    """What was found, best first -> its first `count` groups, best first, each led by its best.

    The others of a group are near-duplicates of that one, not of each other, so that no chain leads from a picture to a
    different one. What is known at different exits cannot be compared, and is not collapsed, nor what an earlier bundle
    embedded until a question has finished it. Notes are not, either: two that differ in one number are nearly the same
    to a text tower, and say different things.

    stored: of a depth and (N,) ids, which of them stand there and (F, D) embeddings of those, see MemoryIndex
    """
    reach = ranked[:REACH]
    depths, embeddings = _embeddings(reach, stored)
    is_left = np.ones(len(reach), dtype=bool)
    groups: list[Group] = []
    for place, best in enumerate(reach):
        if len(groups) == count:
            return groups
        if not is_left[place]:
            continue
        is_left[place] = False
        others = np.flatnonzero(is_left & (depths == depths[place])) if depths[place] else np.empty(0, np.int64)
        cosines = np.einsum("nd,d->n", embeddings[others], embeddings[place])  # see bank_similarities on BLAS
        alike = others[cosines >= THRESHOLD]
        is_left[alike] = False
        groups.append((best, *(reach[other] for other in alike.tolist())))
    return [*groups, *((one,) for one in itertools.islice(ranked, REACH, REACH + count - len(groups)))]


def _embeddings(ranked: Sequence[Ranked], stored: Stored) -> tuple[Rows, Floats]:
    """(N,) depths at which they are known, 0 where there is nothing to compare, and (N, D) embeddings there."""
    depths = np.array([_comparable_at(one.best) for one in ranked], dtype=np.int64)
    at_hand = {place: one.embedding for place, one in enumerate(ranked) if one.embedding is not None}
    parts = [(np.array(list(at_hand), dtype=np.int64), np.stack(list(at_hand.values())))] if at_hand else []
    to_read = depths.copy()
    to_read[list(at_hand)] = 0
    for depth in np.unique(to_read[to_read > 0]).tolist():
        places = np.flatnonzero(to_read == depth)
        are_there, found = stored(
            depth, np.array([ranked[place].best.item for place in places.tolist()], dtype=np.int64)
        )
        depths[places[~are_there]] = 0  # finished meanwhile, for another question
        if len(found):
            parts.append((places[are_there], found))
    embeddings = np.zeros((len(ranked), parts[0][1].shape[1] if parts else 0), dtype=np.float32)
    for places, found in parts:
        embeddings[places] = found
    return depths, embeddings


def _comparable_at(one: Candidate) -> int:
    return 0 if one.is_earlier or one.modality != "image" else one.depth
