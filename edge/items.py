"""What travels between remembering, memory and recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A new item with its embedding, not yet durable.

    content:   raw bytes as they arrived
    digest:    SHA-256 of `content`, its identity: the same bytes are one item
    source:    where it came from, for people
    depth:     where it left its tower
    embedding: (D,) float32, unit L2 norm
    """

    content: bytes
    digest: bytes
    modality: str
    source: str
    depth: int
    embedding: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A durable item; `added_at` is in seconds of Unix time."""

    id: int
    digest: bytes
    modality: str
    source: str
    bytes: int
    added_at: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer: the item, the depth that its score comes from, and the cosine there with the query."""

    item: Item
    depth: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The ranked answers to one question, and where its milliseconds went.

    hits:      best first; refined ones before those that could only be scored coarsely
    searched:  items that the question was compared with
    refined:   items finished to the last exit for it
    query_ms:  the text tower; filter_ms: search over coarse embeddings; correct_ms: finishing and re-ranking the pool
    """

    question: str
    hits: Sequence[Hit]
    searched: int
    refined: int
    query_ms: float
    filter_ms: float
    correct_ms: float

    @property
    def total_ms(self) -> float:
        return self.query_ms + self.filter_ms + self.correct_ms
