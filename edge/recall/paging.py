"""The part of a ranking that a question wants: what is relevant enough, from its offset on."""

from __future__ import annotations

from collections.abc import Sequence

from edge.items import Hit, Question
from edge.memory import Memory
from edge.recall.filtering import Candidate


def wanted(question: Question, pool: int) -> int:
    """Candidates to look for, so that the page is full if there are that many relevant ones."""
    # Any of the pool may turn out to be irrelevant when it is finished.
    return max(pool, question.offset + question.limit + (pool if question.least is not None else 0))


def page(question: Question, ranked: Sequence[Hit], rest: Sequence[Candidate], memory: Memory) -> list[Hit]:
    """Of the hits that were ranked and of the candidates that stand behind them. Raises StoreError, KeyError."""
    start, end = question.offset, question.offset + question.limit
    least = question.least
    if least is not None:
        ranked = [hit for hit in ranked if hit.relevance is not None and hit.relevance >= least]
        rest = [one for one in rest if one.relevance is not None and one.relevance >= least]
    behind = rest[max(0, start - len(ranked)) : max(0, end - len(ranked))]
    return [*ranked[start:end], *(one.hit(memory) for one in behind)]
