"""A picture as the question: items that look like it, each exit compared with the picture's own embedding there.

How alike two pictures are is not calibrated, which text and picture are: what is found has a score and no relevance.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from edge.errors import RefusedError, UnreadableItemError
from edge.items import Floats
from edge.recall.granularity import Query
from edge.runtime import MAX_EXAMPLE_PIXELS, Activation, TowerRunner, check_image

_KEPT = 16  # each some kilobytes, in memory alone: what is asked is private


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An example: a picture file, its SHA-256, and the id of the item that it is, if it is remembered."""

    content: bytes
    digest: bytes
    item: int | None = None


def check_sent(content: bytes, tower: TowerRunner) -> None:
    """Whether a picture that came with a question can be looked at. Raises RefusedError ("unreadable")."""
    try:
        check_image(content, tower.picture_side, MAX_EXAMPLE_PIXELS)
    except UnreadableItemError as error:
        raise RefusedError("unreadable", f"the example is {error}") from None


class Examples:
    """The examples asked with last, as a tower sees them: one that comes again needs no pass. One thread at a time."""

    def __init__(self, tower: TowerRunner) -> None:
        self._tower = tower
        self._kept: OrderedDict[bytes, dict[int, Floats]] = OrderedDict()

    def embed(self, picture: Picture, words: Query | None = None) -> Example:
        """At exits where it was embedded while it is among the last, the tower is not run."""
        self._kept[picture.digest] = made = self._kept.pop(picture.digest, {})
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return Example(self._tower, picture.content, words, made)


class Example:
    """One picture's embeddings, made when they are first asked for and kept. One thread at a time."""

    is_calibrated = False

    def __init__(
        self, tower: TowerRunner, content: bytes, words: Query | None = None, made: dict[int, Floats] | None = None
    ) -> None:
        """`content` is a picture file; with `words`, a score is the mean of the cosines with both.

        made: its embeddings so far by depth, without the words; what is made here is added
        """
        self._tower, self._content, self._words = tower, content, words
        self._made = {} if made is None else made
        self._start: Activation | None = None
        self._reached: Activation | None = None

    def at(self, depth: int) -> Floats:
        """(D,), of unit L2 norm without words. Raises RefusedError ("unreadable"), ValueError: no such exit."""
        if depth not in self._made:
            self._made[depth] = self._seen_at(depth)
        return _with_words(self._made[depth], self._words, depth)

    def _seen_at(self, depth: int) -> Floats:
        place = self._tower.spec.exit_at(depth)
        self._start = self._start or self._decoded()
        # An exit may be the first to hold items while others are searched already.
        is_behind = self._reached is not None and self._reached.segment <= place.segment + 1
        begin = self._reached if is_behind and self._reached else self._start
        self._reached = self._tower.advance(begin, place.segment)
        (embedding,) = self._tower.embed(self._reached, place)
        return np.ascontiguousarray(embedding, dtype=np.float32)

    def _decoded(self) -> Activation:
        try:
            return self._tower.start_images([self._content])
        except UnreadableItemError as error:
            raise RefusedError("unreadable", f"the example is {error}") from None
        except MemoryError:
            raise RefusedError("unreadable", "the example needs more memory than there is") from None


class Remembered:
    """An example that stands at one exit already: it is compared with what stands at any as it is known there."""

    is_calibrated = False

    def __init__(self, embedding: Floats, words: Query | None = None) -> None:
        """`embedding`: (D,), of unit L2 norm; words: see Example."""
        self._embedding, self._words = embedding, words

    def at(self, depth: int) -> Floats:
        """See Example."""
        return _with_words(self._embedding, self._words, depth)


def _with_words(embedding: Floats, words: Query | None, depth: int) -> Floats:
    """(D,) of a picture, or the mean of it and the words at an exit."""
    if words is None:
        return embedding
    both: Floats = np.float32(0.5) * (embedding + words.at(depth))
    return both
