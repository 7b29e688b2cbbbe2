"""Global verifying: what the exits found becomes one pool, in which no item is twice.

Source: Reminisce, round 2 of speculative fine-grained retrieval. Merged is by the logit of the calibrated probability,
which is comparable across exits; by the cosine as it is where the bundle is not calibrated. Ranks or standardised
scores within an exit are not comparable: the best of a few items that fit badly would stand beside the best of many.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from edge.recall.candidate import Candidate


def verify(found: Iterable[Sequence[Candidate]], count: int) -> list[Candidate]:
    """The best of each exit -> the `count` best of all, best first; in place of a duplicate comes the next.

    An item that is refined while the exits are searched one after another is found at both: the deeper one counts.
    """
    deepest: dict[int, Candidate] = {}
    for one in itertools.chain.from_iterable(found):
        other = deepest.get(one.item)
        if other is None or one.depth > other.depth:
            deepest[one.item] = one
    return sorted(deepest.values(), key=lambda one: one.order)[:count]
