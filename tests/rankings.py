"""A ranking as the answers that it stands for."""

from __future__ import annotations

from edge.items import Hit
from edge.memory import Memory
from edge.recall import Ranking


def hits_of(ranking: Ranking, memory: Memory) -> list[Hit]:
    """Best first, as far as each is known."""
    bests = [one.best for one in ranking.ranked]
    return [Hit(memory.item(one.item), one.depth, one.score, one.relevance) for one in bests]
