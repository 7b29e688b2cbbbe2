"""The hits of a page: what each group of near-duplicates is shown as."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import StoreError, UnreadableItemError
from edge.items import Explanation, Hit, Item, Question, happened_at
from edge.memory import Memory
from edge.recall.candidate import Candidate
from edge.recall.collapsing import Group
from edge.recall.correcting import Ranked
from edge.runtime import first_line, read_note

_MOST_NAMED = 1 + 20  # of a hit and its near-duplicates: an answer of 1,000 hits has room in a payload


def hits_of(question: Question, page: Sequence[Group], found: Sequence[Candidate], memory: Memory) -> tuple[Hit, ...]:
    """A hit for each group of which something is still remembered, in the order that was asked for.

    found: all that the search found, best first, `page` among it
    """
    ranks = {one.item: rank for rank, one in enumerate(found, 1)} if question.explain else {}
    hits: list[Hit] = []
    for group in page:
        there = [(one, item) for one in group[:_MOST_NAMED] if (item := _item(one.best.item, memory))]
        if not there:
            continue
        (one, item), best = there[0], there[0][0].best
        why = _explanation(one, ranks[best.item]) if question.explain else None
        similar = len(there) - 1 + len(group[_MOST_NAMED:])
        others = tuple(other.digest for _, other in there[1:])
        hits.append(Hit(item, best.depth, best.score, best.relevance, why, similar, others, _line(item, memory)))
    if question.sort == "time":
        hits.sort(key=lambda hit: (-happened_at(hit.item), hit.item.id))
    return tuple(hits)


def _item(number: int, memory: Memory) -> Item | None:
    """None when it was forgotten since it was found."""
    try:
        return memory.item(number)
    except KeyError:
        return None


def _line(item: Item, memory: Memory) -> str | None:
    """What is shown of a note; None of a picture, and where its file cannot be had."""
    if item.modality != "text":
        return None
    try:
        content = memory.content(item)
        return None if content is None else first_line(read_note(content))
    except (StoreError, UnreadableItemError):
        return None


def _explanation(one: Ranked, rank: int) -> Explanation:
    coarse, fine = one.coarse, one.fine
    return Explanation(
        exit_depth=coarse.depth,
        coarse=coarse.score,
        coarse_relevance=coarse.relevance,
        fine=fine.score if fine else None,
        fine_relevance=fine.relevance if fine else None,
        rank=rank,
        round="correcting" if fine else "verifying",
        ms=one.ms,
        start=one.start,
        earlier=coarse.is_earlier,
    )
