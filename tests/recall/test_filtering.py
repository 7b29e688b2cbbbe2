"""The coarse search: everything that was remembered, at whatever exit, in the order of its score."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import Exit
from edge.items import Embedded
from edge.memory import Memory
from edge.recall.filtering import Filter
from edge.recall.granularity import Granularities
from edge.runtime import TowerRunner

NEVER = 1_000_000  # items from which annoy is asked
HALF = 1e-3  # what float16 on disk may add to a cosine
OFF = 0.03  # the same of a logit, which is some 20 cosines and an offset
HINT = (
    "annoy is not installed: searching 6 items exactly, which is slower but finds the same;"
    " `pip install reminisce-edge[annoy]`"
)
QUESTIONS = ("a dog", "food", "a building at night", "")


def sources(filtering: Filter, memory: Memory, query: Granularities, count: int) -> list[str]:
    return [memory.item(candidate.item).source for candidate in filtering.best(query, count)]


def test_coarse_order_is_that_of_brute_force_over_all_exits(
    memory: Memory,
    image: TowerRunner,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
    score: Callable[[str, Path, Exit], float],
    logit: Callable[[str, Path, Exit], float],
) -> None:
    left_at = {
        path: place
        for place, part in zip(image.spec.exits, (pictures[:9], pictures[9:12]), strict=False)
        for path in part
    }
    for path, place in left_at.items():
        remember([path], place)
    filtering = Filter(memory, image.spec, NEVER)
    for question in QUESTIONS:
        scores = {str(path): score(question, path, place) for path, place in left_at.items()}
        logits = {str(path): logit(question, path, place) for path, place in left_at.items()}
        found = filtering.best(query(question), 12)
        for candidate in found:
            source = memory.item(candidate.item).source
            assert candidate.score == pytest.approx(scores[source], abs=HALF)
            assert candidate.logit == pytest.approx(logits[source], abs=OFF)
            assert candidate.depth == left_at[Path(source)].depth
        ranked = [logits[memory.item(candidate.item).source] for candidate in found]
        assert len(ranked) == len(logits)
        assert all(one >= following - 2 * OFF for one, following in itertools.pairwise(ranked))


def test_fewer_are_asked_for_than_there_are_and_the_best_come(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> None:
    remember(pictures[:8])
    filtering = Filter(memory, image.spec, NEVER)
    everything = filtering.best(query("a dog"), 100)
    assert len(everything) == 8
    for count in (1, 3, 8):
        assert filtering.best(query("a dog"), count) == everything[:count]
    assert filtering.best(query("a dog"), 0) == []


def test_search_follows_what_was_remembered_since(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> None:
    filtering = Filter(memory, image.spec, NEVER)
    dog = next(path for path in pictures if path.name == "golden-retriever.jpg")
    others = [path for path in pictures[:5] if path != dog]
    assert filtering.refresh() == 0
    assert filtering.best(query("a dog"), 5) == []
    remember(others)
    assert filtering.refresh() == len(others)
    assert str(dog) not in sources(filtering, memory, query("a dog"), 5)
    remember([dog])
    assert sources(filtering, memory, query("a dog"), 5)[0] == str(dog)  # without a call of refresh
    assert filtering.refresh() == len(others) + 1


def test_item_at_two_exits_is_found_once_and_at_the_deeper_one(
    memory: Memory,
    image: TowerRunner,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> None:
    shallow, deep = image.spec.exits[:2]
    remember(pictures[:1], shallow)
    (coarse,) = Filter(memory, image.spec, NEVER).best(query("a house"), 5)
    assert coarse.depth == shallow.depth
    item = memory.item(coarse.item)
    content = memory.content(item)
    assert content is not None
    start = image.start_images([content])
    embedding = image.embed(image.advance(start, deep.segment), deep)[0]
    memory.index([Embedded(item=item.id, depth=deep.depth, embedding=embedding)])
    (found,) = Filter(memory, image.spec, NEVER).best(query("a house"), 5)
    assert (found.item, found.depth) == (coarse.item, deep.depth)


def test_hint_at_annoy_comes_once_where_it_would_pay(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "annoy", None)  # how Python itself says that there is no such module
    caplog.set_level(logging.INFO)
    filtering = Filter(memory, image.spec, annoy_from=6)
    remember(pictures[:5])
    before = filtering.best(query("a dog"), 5)
    assert caplog.messages == []
    remember(pictures[5:6])
    after = filtering.best(query("a dog"), 5)
    assert caplog.messages == [HINT]
    assert {candidate.item for candidate in after} & {candidate.item for candidate in before}
    remember(pictures[6:8])
    assert len(filtering.best(query("a dog"), 8)) == 8
    assert caplog.messages == [HINT]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_annoy_finds_what_exact_search_finds_and_says_nothing(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("annoy", reason="needs reminisce-edge[annoy]")
    remember(pictures[:40])
    exact, forest = Filter(memory, image.spec, NEVER), Filter(memory, image.spec, annoy_from=1)
    for question in QUESTIONS:
        assert forest.best(query(question), 10) == exact.best(query(question), 10)
    assert caplog.messages == []
