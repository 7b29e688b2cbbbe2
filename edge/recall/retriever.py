"""A question's way: one pass through its tower, the coarse search, the pool finished, the answer.

Pictures and notes are searched side by side, and stand in one ranking by calibrated probability. A note is known at the
end of its tower from the start, so that the pool counts pictures alone: notes among them take no picture's turn.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge.bundle import Tower
from edge.errors import RefusedError, StoreError, UnreadableItemError
from edge.items import EVERYTHING, Answer, Explanation, Hit, Item, Question, Selection, happened_at
from edge.memory import Memory, Rows
from edge.recall.asked import Asked
from edge.recall.candidate import Candidate
from edge.recall.collapsing import Group
from edge.recall.correcting import Corrector, Ranked, Ranking
from edge.recall.earlier import Earlier, join, join_alike
from edge.recall.example import Examples, Picture, check_sent
from edge.recall.filtering import Filter
from edge.recall.granularity import AsNote, Query
from edge.recall.missing import Missing
from edge.recall.paging import Pages, wanted
from edge.recall.streaming import Stream
from edge.runtime import TowerRunner, first_line, read_note

T = TypeVar("T")
_MOST_NAMED = 1 + 20  # of a hit and its near-duplicates: an answer of 1,000 hits has room in a payload


class Retriever:
    """Answers questions about what the memory holds. One question at a time."""

    def __init__(
        self,
        text: TowerRunner,
        items: Tower,
        filtering: Filter,
        correcting: Corrector,
        memory: Memory,
        pool: int,
        earlier: Sequence[Earlier] = (),
        on_earlier: Callable[[Sequence[int]], None] = lambda _: None,
        missing: Missing | None = None,
        notes: Filter | None = None,
    ) -> None:
        """`items` encodes what is stored; of it the `pool` best are finished for each question; 0 finishes none.

        earlier:    the bundles that embedded what the present one has not
        on_earlier: called with the items of theirs that are hits of a last answer and were not finished for it
        missing:    what only an earlier bundle has embedded, and no question is compared with
        notes:      over the items that the text tower embedded; None where the bundle takes none
        """
        self._asked, self._memory = Asked(text, items), memory
        self._examples = Examples(correcting.tower)
        self._earlier, self._on_earlier, self._missing = earlier, on_earlier, missing
        self._filtering, self._notes, self._correcting = filtering, notes, correcting
        self._pool = pool

    def ask(self, question: Question, better: Callable[[Answer], None] = lambda _: None) -> Answer:
        """The best items for a sentence, an example or both. Raises StoreError, RefusedError.

        better: called with what is known so far, where the question streams
        """
        itself, picture, words = self._meant(question)
        self._check(question, by_picture=picture is not None)
        size = self._pool if question.refine else 0
        searches: tuple[Earlier | Filter, ...] = (*self._earlier, *self._of_notes(picture), self._filtering)
        _, refresh_ms = _timed(lambda: [one.refresh() for one in searches])
        admitted, admit_ms = _timed(lambda: self._admitted(question.narrowing))
        held = [one.held(admitted) for one in searches]
        query, query_ms = _timed(lambda: self._embed(words, picture))

        def search(most: int) -> tuple[list[Candidate], float, float]:
            """At least the `most` best, and behind them some that are not the next best."""
            # Before the present bundle's: an item that is switched meanwhile is found at both, never at none.
            older, earlier_ms = _timed(
                lambda: [_besides(itself, one.best(words, most, admitted, picture)) for one in self._earlier]
            )
            notes, notes_ms = _timed(lambda: self._best_notes(words, most, admitted) if picture is None else [])
            present, filter_ms = _timed(lambda: _besides(itself, self._filtering.best(query, most, admitted)))
            if picture is None:
                present += _besides(itself, notes)
                found = join(present, older, len(present) + sum(map(len, older)))
                return found, earlier_ms, filter_ms + notes_ms
            shares = [count / max(1, sum(held)) for count in held[: len(older)]]
            return join_alike(present, older, shares, size, most), earlier_ms, filter_ms

        most = wanted(question, size)
        found, earlier_ms, filter_ms = search(most + (itself is not None))
        # Behind it: whether an earlier bundle can look at an example shows when it does.
        lost = sum(count for one, count in zip(self._earlier, held, strict=False) if one.is_left_out)
        left_out = lost + (self._missing.held(admitted, by_picture=picture is not None) if self._missing else 0)
        pool = _with_pictures(found, size)
        rest = found[len(pool) : most]
        pages = Pages(question, pool, rest, self._filtering.stored, lambda most: search(most)[0][:most], most)
        began = time.monotonic()

        def answer(ranking: Ranking, *, is_last: bool = False) -> Answer:
            page = pages.page(ranking.ranked)
            hits = self._hits(question, page, pages.found)
            if is_last:
                self._note(page)
                self._memory.demand.answered([hit.item.source for hit in hits])
            return Answer(
                question=question.text,
                hits=hits,
                searched=sum(held) - lost,
                left_out=left_out,
                refined=ranking.refined,
                cut=ranking.cut,
                query_ms=query_ms,
                filter_ms=refresh_ms + admit_ms + filter_ms,
                earlier_ms=earlier_ms if self._earlier else 0.0,
                correct_ms=(time.monotonic() - began) * 1e3,
            )

        if not question.stream:
            return answer(self._correcting.rank(query, pool, question.deadline), is_last=True)
        stream = Stream(better)
        ranking = self._correcting.rank(
            query, pool, question.deadline, lambda so_far: stream.better(lambda: answer(so_far))
        )
        return stream.final(answer(ranking, is_last=True))

    def _note(self, page: Sequence[Group]) -> None:
        if items := [group[0].best.item for group in page if group[0].best.is_earlier]:
            self._on_earlier(items)

    def _of_notes(self, picture: Picture | None) -> tuple[Filter, ...]:
        """The search over notes, which a picture does not find."""
        return (self._notes,) if self._notes and picture is None else ()

    def _best_notes(self, words: str, count: int, admitted: Rows | None) -> list[Candidate]:
        return self._notes.best(AsNote(self._asked.embed(words)), count, admitted) if self._notes else []

    def _admitted(self, narrowing: Selection) -> Rows | None:
        return None if narrowing == EVERYTHING else self._memory.admitted(narrowing)

    def _check(self, question: Question, *, by_picture: bool) -> None:
        if question.least is None:
            return
        if not self._filtering.is_calibrated:
            raise RefusedError("not_calibrated", "min_relevance needs a bundle that is calibrated: leave it out")
        if by_picture:
            raise RefusedError(
                "not_calibrated", "min_relevance is for text alone: how alike pictures are is not calibrated"
            )

    def _meant(self, question: Question) -> tuple[int | None, Picture | None, str]:
        """The id of the item that is the example, if it is one, a picture that is, and what is asked in words.

        A note that is the example asks by what it says, behind the question's own words: a tower reads the beginning.
        """
        if not question.has_example:
            return None, None, question.text
        if question.image is not None:
            check_sent(question.image, self._correcting.tower)
        digest = question.like or hashlib.sha256(question.image or b"").digest()
        item = self._memory.find(digest)
        content = self._memory.content(item) if item and question.image is None else question.image
        if content is None:
            there = "its bytes are not kept" if item else "nothing with this id is remembered"
            instead = "ask with its text" if item and item.modality == "text" else "send the picture as `image`"
            raise RefusedError("not_found", f"{there}: {instead}")
        if item and item.modality == "text":
            return item.id, None, f"{question.text}\n{read_note(content)}".strip()
        itself = item.id if item else None
        return itself, Picture(content, digest, itself), question.text

    def _embed(self, text: str, picture: Picture | None) -> Query:
        """With the heads of all occupied exits run, so that their time counts as the tower's."""
        query = self._query(text, picture)
        for depth in self._filtering.depths:
            query.at(depth)
        if self._notes and picture is None:
            self._asked.embed(text).as_note()
        return query

    def _query(self, text: str, picture: Picture | None) -> Query:
        if picture is None:
            return self._asked.embed(text)
        return self._examples.embed(picture, self._asked.embed(text) if text else None)

    def _hits(self, question: Question, page: Sequence[Group], found: Sequence[Candidate]) -> tuple[Hit, ...]:
        ranks = {one.item: rank for rank, one in enumerate(found, 1)} if question.explain else {}
        hits: list[Hit] = []
        for group in page:
            there = [(one, item) for one in group[:_MOST_NAMED] if (item := self._item(one.best.item))]
            if not there:
                continue
            (one, item), best = there[0], there[0][0].best
            why = _explanation(one, ranks[best.item]) if question.explain else None
            similar = len(there) - 1 + len(group[_MOST_NAMED:])
            others = tuple(other.digest for _, other in there[1:])
            line = self._line(item)
            hits.append(Hit(item, best.depth, best.score, best.relevance, why, similar, others, line))
        if question.sort == "time":
            hits.sort(key=lambda hit: (-happened_at(hit.item), hit.item.id))
        return tuple(hits)

    def _line(self, item: Item) -> str | None:
        """What is shown of a note; None of a picture, and where its file cannot be had."""
        if item.modality != "text":
            return None
        try:
            content = self._memory.content(item)
            return None if content is None else first_line(read_note(content))
        except (StoreError, UnreadableItemError):
            return None

    def _item(self, number: int) -> Item | None:
        """None when it was forgotten since it was found."""
        try:
            return self._memory.item(number)
        except KeyError:
            return None


def _with_pictures(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best, up to the picture of that number."""
    places = [place for place, one in enumerate(found) if one.modality == "image"]
    return list(found[: places[count - 1] + 1] if 0 < count <= len(places) else found if count else ())


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


def _besides(itself: int | None, found: Sequence[Candidate]) -> list[Candidate]:
    return [one for one in found if one.item != itself]


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.monotonic()
    return work(), (time.monotonic() - start) * 1e3
