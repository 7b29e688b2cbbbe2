"""A question's way: one pass through its tower, the coarse search, the pool finished, the answer.

Pictures and notes are searched side by side, and stand in one ranking by calibrated probability. A note is known at the
end of its tower from the start, so that the pool counts pictures alone: notes among them take no picture's turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from edge.bundle import Tower
from edge.errors import RefusedError
from edge.items import EVERYTHING, Answer, Question, Selection
from edge.memory import Memory
from edge.recall.asked import Asked
from edge.recall.candidate import Candidate
from edge.recall.collapsing import Group
from edge.recall.correcting import Corrector, Ranking
from edge.recall.earlier import Earlier
from edge.recall.example import Examples
from edge.recall.filtering import Filter
from edge.recall.granularity import AsNote, Query
from edge.recall.meaning import Meaning, meaning_of
from edge.recall.missing import Missing
from edge.recall.paging import Pages, wanted
from edge.recall.presenting import hits_of
from edge.recall.searching import Search, Shortlist, timed
from edge.recall.streaming import Stream
from edge.runtime import TowerRunner


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
        meaning = meaning_of(question, self._memory, self._correcting.tower)
        self._check(question, meaning)
        size = self._pool if question.refine else 0
        search = self._search(meaning, question.narrowing)
        most = wanted(question, size)

        def best(count: int) -> Shortlist:
            return search.best(count + (meaning.itself is not None), size)  # which is found, and is no answer

        found = best(most)
        draft = self._draft(question, search, found)
        pool = _with_pictures(found.candidates, size)
        rest = found.candidates[len(pool) : most]
        stored = self._filtering.stored
        pages = Pages(question, pool, rest, stored, lambda count: best(count).candidates[:count], most)
        return self._finished(question, search.query, pool, pages, draft, better)

    def _check(self, question: Question, meaning: Meaning) -> None:
        if question.least is None:
            return
        if not self._filtering.is_calibrated:
            raise RefusedError("not_calibrated", "min_relevance needs a bundle that is calibrated: leave it out")
        if meaning.by_picture:
            raise RefusedError(
                "not_calibrated", "min_relevance is for text alone: how alike pictures are is not calibrated"
            )

    def _search(self, meaning: Meaning, narrowing: Selection) -> Search:
        """Over indexes that are up to date."""
        notes = () if self._notes is None or meaning.by_picture else (self._notes,)
        present = (*notes, self._filtering)
        indexes: tuple[Earlier | Filter, ...] = (*self._earlier, *present)
        _, refresh_ms = timed(lambda: [one.refresh() for one in indexes])
        admitted, admit_ms = timed(lambda: None if narrowing == EVERYTHING else self._memory.admitted(narrowing))
        held = [one.held(admitted) for one in indexes]
        queries, query_ms = timed(lambda: self._embed(meaning, present))
        asked = list(zip(present, queries, strict=True))
        return Search(meaning, self._earlier, asked, admitted, held, refresh_ms + admit_ms, query_ms)

    def _embed(self, meaning: Meaning, present: Sequence[Filter]) -> list[Query]:
        """For each of these indexes. With the heads of all occupied exits run, so that their time is the tower's."""
        queries = [self._as_note(meaning) if one is self._notes else self._query(meaning) for one in present]
        for filtering, query in zip(present, queries, strict=True):
            for depth in filtering.depths:
                query.at(depth)
        return queries

    def _query(self, meaning: Meaning) -> Query:
        if meaning.picture is None:
            return self._asked.embed(meaning.words)
        return self._examples.embed(meaning.picture, self._asked.embed(meaning.words) if meaning.words else None)

    def _as_note(self, meaning: Meaning) -> Query:
        return AsNote(self._asked.embed(meaning.words))

    def _draft(self, question: Question, search: Search, found: Shortlist) -> Answer:
        """The answer but for what its pool decides."""
        left_out = search.left_out
        missing = self._missing.held(search.admitted, by_picture=search.meaning.by_picture) if self._missing else 0
        return Answer(
            question=question.text,
            hits=(),
            searched=sum(search.held) - left_out,
            left_out=left_out + missing,
            refined=0,
            cut=False,
            query_ms=search.query_ms,
            filter_ms=search.ready_ms + found.present_ms,
            earlier_ms=found.earlier_ms if self._earlier else 0.0,
            correct_ms=0.0,
        )

    def _finished(
        self,
        question: Question,
        query: Query,
        pool: Sequence[Candidate],
        pages: Pages,
        draft: Answer,
        better: Callable[[Answer], None],
    ) -> Answer:
        """The answer once the pool is finished; in between what is known by then, where the question streams."""
        began, stream = time.monotonic(), Stream(better)

        def answer(ranking: Ranking, page: Sequence[Group]) -> Answer:
            hits = hits_of(question, page, pages.found, self._memory)
            correct_ms = (time.monotonic() - began) * 1e3
            return replace(draft, hits=hits, refined=ranking.refined, cut=ranking.cut, correct_ms=correct_ms)

        def tell(so_far: Ranking) -> None:
            if question.stream:
                stream.better(lambda: answer(so_far, pages.page(so_far.ranked)))

        ranking = self._correcting.rank(query, pool, question.deadline, tell)
        page = pages.page(ranking.ranked)
        last = answer(ranking, page)
        self._note(page, last)
        return stream.final(last) if question.stream else last

    def _note(self, page: Sequence[Group], answer: Answer) -> None:
        """Remember what was asked for: an earlier bundle's items are migrated, and sources are evicted, by that."""
        if items := [group[0].best.item for group in page if group[0].best.is_earlier]:
            self._on_earlier(items)
        self._memory.demand.answered([hit.item.source for hit in answer.hits])


def _with_pictures(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best, up to the picture of that number."""
    places = [place for place, one in enumerate(found) if one.modality == "image"]
    return list(found[: places[count - 1] + 1] if 0 < count <= len(places) else found if count else ())
