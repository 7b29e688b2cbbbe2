"""The part of a ranking that a question wants: what is relevant enough, from its offset on."""

from __future__ import annotations

from collections.abc import Sequence

from edge.items import Question
from edge.recall.correcting import Ranked


def wanted(question: Question, pool: int) -> int:
    """Candidates to look for, so that the page is full if there are that many relevant ones."""
    # Any of the pool may turn out to be irrelevant when it is finished.
    return max(pool, question.offset + question.limit + (pool if question.least is not None else 0))


def page(question: Question, ranked: Sequence[Ranked]) -> Sequence[Ranked]:
    """Of all that was found, best first. Without a relevance nothing is relevant enough."""
    least = question.least
    if least is not None:
        ranked = [one for one in ranked if one.best.relevance is not None and one.best.relevance >= least]
    return ranked[question.offset : question.offset + question.limit]
