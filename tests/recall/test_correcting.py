"""Fine-grained correcting: what is finished, what cannot be, and how the two are ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Exit
from edge.errors import StoreError
from edge.items import Hit, Item
from edge.memory import Memory
from edge.recall.candidate import Candidate
from edge.recall.correcting import Corrector, Ranking
from edge.recall.filtering import Filter
from edge.recall.granularity import Granularities
from edge.runtime import Invoke, TowerRunner
from rankings import hits_of

NEVER = 1_000_000
QUESTION = "a person outdoors"
TOLERANCE = 1e-3  # float16 on disk, and sums in another order


@pytest.fixture
def pool(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> list[Candidate]:
    """Ten items at the first exit, in coarse order."""
    remember(pictures[:10])
    return Filter(memory, image.spec, NEVER).best(query(QUESTION), 10)


@pytest.fixture
def corrector(banks: Banks, image: TowerRunner, memory: Memory) -> Corrector:
    return Corrector(image, memory, banks, batch=4)


def names(hits: list[Hit]) -> list[str]:
    return [Path(hit.item.source).name for hit in hits]


def assert_by_relevance(hits: list[Hit]) -> None:
    found = [hit.relevance for hit in hits if hit.relevance is not None]
    assert len(found) == len(hits)
    assert found == sorted(found, reverse=True)


def test_finished_pool_has_the_scores_and_the_order_of_the_last_exit(
    image: TowerRunner,
    memory: Memory,
    corrector: Corrector,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
    score: Callable[[str, Path, Exit], float],
) -> None:
    last = image.spec.exits[-1]
    ranking = corrector.rank(query(QUESTION), pool)
    hits = hits_of(ranking, memory)
    assert (ranking.refined, len(hits), ranking.cut) == (10, 10, False)
    assert {hit.item.id for hit in hits} == {candidate.item for candidate in pool}
    for hit in hits:
        assert hit.depth == last.depth
        assert hit.score == pytest.approx(score(QUESTION, Path(hit.item.source), last), abs=TOLERANCE)
    assert_by_relevance(hits)
    assert [hit.item.id for hit in hits] != [candidate.item for candidate in pool]  # it did correct something


def test_ranking_does_not_depend_on_the_batch(
    banks: Banks, image: TowerRunner, memory: Memory, pool: list[Candidate], query: Callable[[str], Granularities]
) -> None:
    expected = hits_of(Corrector(image, memory, banks, batch=256).rank(query(QUESTION), pool), memory)
    for batch in (1, 3, 10):
        ranking = Corrector(image, memory, banks, batch).rank(query(QUESTION), pool)
        assert ranking.refined == 10
        found = hits_of(ranking, memory)
        assert names(found) == names(expected)
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-4)


def delete(file: Path) -> None:
    file.unlink()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:3000])


def overwrite(file: Path) -> None:
    file.write_bytes(bytes(5000))


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [delete, truncate, overwrite, empty])
def test_item_whose_content_is_lost_keeps_its_coarse_score_and_is_ranked_by_it(
    damage: Callable[[Path], None],
    memory: Memory,
    corrector: Corrector,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
    content_file: Callable[[Path, Item], Path],
    state: Path,
) -> None:
    whole = corrector.rank(query(QUESTION), pool)
    assert whole.refined == 10
    lost = pool[:2]  # the two best coarse ones: by their score alone they would stand in front
    for candidate in lost:
        damage(content_file(state, memory.item(candidate.item)))
    ranking = corrector.rank(query(QUESTION), pool)
    hits = hits_of(ranking, memory)
    assert (ranking.refined, ranking.cut) == (8, False)
    assert_by_relevance(hits)
    scores = {hit.item.id: (hit.score, hit.depth) for hit in hits}
    assert [scores[one.item] for one in lost] == [(one.score, one.depth) for one in lost]
    gone = {one.item for one in lost}
    rest = [hit.item.id for hit in hits if hit.item.id not in gone]
    assert rest == [hit.item.id for hit in hits_of(whole, memory) if hit.item.id not in gone]


def test_item_whose_content_cannot_be_read_keeps_its_coarse_score(
    memory: Memory,
    corrector: Corrector,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, bad = memory.content, pool[0]

    def read(item: Item) -> bytes | None:
        if item.id == bad.item:
            raise StoreError("Input/output error")
        return content(item)

    monkeypatch.setattr(memory, "content", read)
    ranking = corrector.rank(query(QUESTION), pool)
    assert (ranking.refined, ranking.cut, len(hits_of(ranking, memory))) == (9, False, 10)
    (kept,) = [hit for hit in hits_of(ranking, memory) if hit.depth == bad.depth]
    assert (kept.item.id, kept.score) == (bad.item, bad.score)


def test_pool_without_any_content_is_answered_in_coarse_order(
    memory: Memory,
    corrector: Corrector,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
    content_file: Callable[[Path, Item], Path],
    state: Path,
) -> None:
    for candidate in pool:
        content_file(state, memory.item(candidate.item)).unlink()
    ranking = corrector.rank(query(QUESTION), pool)
    hits = hits_of(ranking, memory)
    assert (ranking.refined, ranking.cut) == (0, False)
    assert [(hit.item.id, hit.depth, hit.score) for hit in hits] == [(one.item, one.depth, one.score) for one in pool]


def test_without_calibration_what_is_finished_stands_first_by_its_cosine(
    banks: Banks,
    bundle: Bundle,
    image: TowerRunner,
    invoke: Invoke,
    memory: Memory,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
    content_file: Callable[[Path, Item], Path],
    state: Path,
) -> None:
    exits = tuple(replace(place, calibration=None) for place in image.spec.exits)
    tower = TowerRunner(bundle.folder, replace(image.spec, exits=exits), invoke)
    coarse = sorted((replace(one, logit=None) for one in pool), key=lambda one: one.order)
    content_file(state, memory.item(coarse[0].item)).unlink()
    ranked = Corrector(tower, memory, banks, batch=4).rank(query(QUESTION), coarse).ranked
    assert [one.fine is None for one in ranked] == [False] * 9 + [True]
    assert ranked[-1].best == coarse[0]
    assert [one.best.score for one in ranked[:9]] == sorted((one.best.score for one in ranked[:9]), reverse=True)
    assert all(one.best.logit is None for one in ranked)


def test_items_that_left_at_the_last_exit_are_not_encoded_again(
    image: TowerRunner,
    memory: Memory,
    corrector: Corrector,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
    content_file: Callable[[Path, Item], Path],
    state: Path,
) -> None:
    last = image.spec.exits[-1]
    remember(pictures[:5], last)
    pool = Filter(memory, image.spec, NEVER).best(query(QUESTION), 5)
    for candidate in pool:
        content_file(state, memory.item(candidate.item)).unlink()  # there is nothing left that could be encoded
    ranking = corrector.rank(query(QUESTION), pool)
    hits = hits_of(ranking, memory)
    assert (ranking.refined, ranking.cut) == (5, False)
    assert [(hit.item.id, hit.depth, hit.score) for hit in hits] == [(one.item, last.depth, one.score) for one in pool]


def test_items_of_the_first_and_the_last_exit_are_ranked_together(
    image: TowerRunner,
    memory: Memory,
    corrector: Corrector,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
    score: Callable[[str, Path, Exit], float],
) -> None:
    first, last = image.spec.exits[0], image.spec.exits[-1]
    remember(pictures[:10:2], first)
    remember(pictures[1:10:2], last)
    ranking = corrector.rank(query(QUESTION), Filter(memory, image.spec, NEVER).best(query(QUESTION), 10))
    hits = hits_of(ranking, memory)
    assert (ranking.refined, ranking.cut) == (10, False)
    expected = [score(QUESTION, Path(hit.item.source), last) for hit in hits]
    assert [hit.score for hit in hits] == pytest.approx(expected, abs=TOLERANCE)
    assert_by_relevance(hits)


def test_empty_pool_has_no_hits(corrector: Corrector, query: Callable[[str], Granularities]) -> None:
    assert corrector.rank(query(QUESTION), []) == Ranking([], refined=0, cut=False)
