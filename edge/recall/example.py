"""A picture as the question: items that look like it, each exit compared with the picture's own embedding there.

How alike two pictures are is not calibrated, which text and picture are: what is found has a score and no relevance.
"""

from __future__ import annotations

import numpy as np

from edge.errors import RefusedError, UnreadableItemError
from edge.items import Floats
from edge.recall.granularity import Query
from edge.runtime import MAX_EXAMPLE_PIXELS, TowerRunner, check_image


def check_sent(content: bytes, tower: TowerRunner) -> None:
    """Whether a picture that came with a question can be looked at. Raises RefusedError ("unreadable")."""
    try:
        check_image(content, tower.picture_side, MAX_EXAMPLE_PIXELS)
    except UnreadableItemError as error:
        raise RefusedError("unreadable", f"the example is {error}") from None


class Example:
    """One picture's embeddings, made when they are first asked for and kept. One thread at a time."""

    is_calibrated = False

    def __init__(self, tower: TowerRunner, content: bytes, words: Query | None = None) -> None:
        """`content` is a picture file; with `words`, a score is the mean of the cosines with both.

        Raises RefusedError ("unreadable").
        """
        self._tower, self._words = tower, words
        try:
            self._start = tower.start_images([content])
        except UnreadableItemError as error:
            raise RefusedError("unreadable", f"the example is {error}") from None
        except MemoryError:
            raise RefusedError("unreadable", "the example needs more memory than there is") from None
        self._reached = self._start
        self._made: dict[int, Floats] = {}

    def at(self, depth: int) -> Floats:
        """(D,), of unit L2 norm without words. Raises ValueError where there is no such exit."""
        if depth not in self._made:
            place = self._tower.spec.exit_at(depth)
            # An exit may be the first to hold items while others are searched already.
            begin = self._start if self._reached.segment > place.segment + 1 else self._reached
            self._reached = self._tower.advance(begin, place.segment)
            (embedding,) = self._tower.embed(self._reached, place)
            both = embedding if self._words is None else (embedding + self._words.at(depth)) / 2
            self._made[depth] = np.ascontiguousarray(both, dtype=np.float32)
        return self._made[depth]
