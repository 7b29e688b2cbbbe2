"""Questions about a part of what is remembered, page by page, and with a bound on relevance."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.bank import Banks
from edge.errors import RefusedError
from edge.items import Answer, Arrival, Question, Selection
from edge.memory import Memory
from edge.recall import Corrector, Filter, Questions, Retriever
from edge.runtime import TowerRunner

NEVER = 1_000_000
Ask = Callable[..., Answer]


@pytest.fixture
def retriever(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory) -> Retriever:
    """One that finishes the four best."""
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(image, memory, banks, batch=8)
    return Retriever(text, image.spec, filtering, corrector, memory, pool=4)


@pytest.fixture
def ask(retriever: Retriever) -> Ask:
    """`ask("a dog", limit=5, narrowing=Selection(source="cam"))`."""

    def run(sentence: str, *, limit: int = 12, **more: Any) -> Answer:
        return retriever.ask(Question(text=sentence, limit=limit, **more))

    return run


@pytest.fixture
def twelve(
    memory: Memory, pictures: list[Path], arrival: Callable[[Path], Arrival], remember: Callable[..., None]
) -> None:
    """Taken at 0 to 11 seconds, the even ones by the camera `even`, the others by `odd`."""
    arrivals = [
        dataclasses.replace(arrival(path), taken_at=float(number), source=f"{('even', 'odd')[number % 2]}/{number}")
        for number, path in enumerate(pictures[:12])
    ]
    memory.accept(arrivals)
    remember([])


@pytest.mark.usefixtures("twelve")
def test_only_what_is_admitted_is_searched_and_found(ask: Ask) -> None:
    answer = ask("a dog", narrowing=Selection(source="odd/", since=3.0, until=9.0))
    assert {hit.item.source for hit in answer.hits} == {"odd/3", "odd/5", "odd/7"}
    assert (answer.searched, answer.refined) == (3, 3)


@pytest.mark.usefixtures("twelve")
def test_narrowing_comes_before_the_choice_of_the_best(ask: Ask) -> None:
    worst = ask("a dog", refine=False).hits[-1]
    answer = ask("a dog", limit=1, refine=False, narrowing=Selection(source=worst.item.source))
    assert list(answer.hits) == [worst]


@pytest.mark.usefixtures("twelve")
def test_narrowing_that_admits_nothing_finds_nothing(ask: Ask) -> None:
    answer = ask("a dog", narrowing=Selection(source="nowhere"))
    assert (list(answer.hits), answer.searched, answer.refined) == ([], 0, 0)


@pytest.mark.usefixtures("twelve")
@pytest.mark.parametrize("size", [1, 3, 5, 12])
def test_pages_side_by_side_are_the_whole(size: int, ask: Ask) -> None:
    whole = [hit.item.id for hit in ask("a dog").hits]
    pages = [ask("a dog", limit=size, offset=start).hits for start in range(0, 12, size)]
    assert [hit.item.id for page in pages for hit in page] == whole
    assert len(whole) == 12


@pytest.mark.usefixtures("twelve")
@pytest.mark.parametrize("offset", [12, 10_000])
def test_page_past_the_end_is_empty(offset: int, ask: Ask) -> None:
    answer = ask("a dog", offset=offset)
    assert (list(answer.hits), answer.searched) == ([], 12)


@pytest.mark.usefixtures("twelve")
@pytest.mark.parametrize("refine", [True, False])
def test_bound_on_relevance_keeps_exactly_what_reaches_it(refine: bool, ask: Ask) -> None:  # noqa: FBT001 - a case
    whole = ask("a dog", refine=refine).hits
    for least in sorted(hit.relevance for hit in whole if hit.relevance is not None):
        kept = [hit for hit in whole if hit.relevance is not None and hit.relevance >= least]
        found = ask("a dog", refine=refine, least=least).hits
        assert [hit.item.id for hit in found] == [hit.item.id for hit in kept]


@pytest.mark.usefixtures("twelve")
def test_nothing_that_is_relevant_is_an_answer(ask: Ask) -> None:
    answer = ask("a dog", least=1.0)
    assert (list(answer.hits), answer.searched) == ([], 12)


@pytest.mark.usefixtures("twelve")
def test_page_is_full_although_some_of_the_pool_turned_out_to_be_irrelevant(ask: Ask) -> None:
    whole = ask("a dog").hits
    least = sorted(hit.relevance for hit in whole if hit.relevance is not None)[3]
    found = ask("a dog", limit=8, least=least).hits
    assert len(found) == 8


@pytest.mark.usefixtures("twelve")
def test_bound_is_refused_with_the_reason_where_nothing_is_calibrated(
    banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory
) -> None:
    exits = tuple(dataclasses.replace(place, calibration=None) for place in image.spec.exits)
    spec = dataclasses.replace(image.spec, exits=exits)
    filtering, corrector = Filter(memory, spec, NEVER), Corrector(image, memory, banks, batch=8)
    uncalibrated = Retriever(text, spec, filtering, corrector, memory, pool=0)
    with pytest.raises(RefusedError, match="min_relevance needs a bundle that is calibrated") as caught:
        uncalibrated.ask(Question(text="a dog", limit=5, least=0.5))
    assert caught.value.code == "not_calibrated"
    answers: queue.Queue[Answer | RefusedError] = queue.Queue()
    with Questions(uncalibrated, 5, failed=lambda _: None) as questions:
        assert questions.ask(Question(text="a dog", limit=5, least=0.5), answers.put)
        assert getattr(answers.get(timeout=30), "code", None) == "not_calibrated"
