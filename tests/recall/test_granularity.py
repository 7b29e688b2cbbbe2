"""A question as each exit sees it, on a bundle whose first two exits have heads of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.items import Floats, Question
from edge.memory import Memory
from edge.recall import Candidate, Corrector, Filter, Granularities, Retriever
from edge.runtime import Interpreters, TowerRunner, choose_runtime
from rankings import hits_of

QUESTION = "a dog with its tongue out"
NEVER = 1_000_000


class Counting:
    """Runs the bundle's files and remembers which."""

    def __init__(self, bundle: Bundle) -> None:
        self._invoke = Interpreters(bundle.folder, choose_runtime("auto"), threads=1).invoke
        self.ran: list[str] = []

    def __call__(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        self.ran.append(str(model.variants[0].path))
        return self._invoke(model, inputs)


@pytest.fixture
def counting(granular: Bundle) -> Counting:
    return Counting(granular)


@pytest.fixture
def text(granular: Bundle, counting: Counting) -> TowerRunner:
    """The text tower of the changed bundle."""
    return TowerRunner(granular.folder, granular.manifest.tower("text"), counting)


@pytest.fixture
def image(granular: Bundle, counting: Counting) -> TowerRunner:
    """The image tower of the changed bundle."""
    return TowerRunner(granular.folder, granular.manifest.tower("image"), counting)


@pytest.fixture
def banks(granular: Bundle) -> Banks:
    """The changed bundle's, without being counted."""
    invoke = Interpreters(granular.folder, choose_runtime("auto"), threads=1).invoke
    text = TowerRunner(granular.folder, granular.manifest.tower("text"), invoke)
    return Banks(granular.folder, granular.manifest.bank, text)


@pytest.fixture
def depths(image: TowerRunner) -> list[int]:
    return [place.depth for place in image.spec.exits]


@pytest.fixture
def asked(text: TowerRunner, image: TowerRunner) -> Granularities:
    return Granularities(text, image.spec, QUESTION)


@pytest.fixture
def retriever(banks: Banks, text: TowerRunner, image: TowerRunner, memory: Memory) -> Retriever:
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(image, memory, banks, batch=4)
    return Retriever(text, image.spec, filtering, corrector, memory, pool=2)


@pytest.fixture
def by_hand(granular: Bundle, text: TowerRunner, image: TowerRunner) -> dict[int, Floats]:
    """The question's embedding for each exit by its depth, each head run on features of a pass of its own."""
    own = text.spec.exits[-1]
    invoke = Interpreters(granular.folder, choose_runtime("auto"), threads=1).invoke
    features = text.advance(text.start_texts([QUESTION]), own.segment).tensor
    return {place.depth: invoke(place.query or own.head, {"x": features})[0] for place in image.spec.exits}


def embeddings(image: TowerRunner, file: Path) -> dict[int, Floats]:
    """A picture's embedding at each exit by its depth."""
    activation = image.start_images([file.read_bytes()])
    made = {}
    for place in image.spec.exits:
        activation = image.advance(activation, place.segment)
        made[place.depth] = image.embed(activation, place)[0]
    return made


def text_runs(counting: Counting, granular: Bundle) -> list[str]:
    """What was run for questions: the text tower's files, and granularity heads."""
    items = granular.manifest.tower("image")
    models = [segment.model for segment in items.segments] + [place.head for place in items.exits]
    of_items = {str(model.variants[0].path) for model in models}
    return [name for name in counting.ran if name not in of_items]


def test_each_exit_is_asked_with_what_its_own_head_makes(
    asked: Granularities, by_hand: dict[int, Floats], depths: list[int]
) -> None:
    for depth in depths:
        made = asked.at(depth)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, by_hand[depth], atol=1e-5)
        assert np.linalg.norm(made) == pytest.approx(1, abs=1e-5)
    for one, other in itertools.combinations([asked.at(depth) for depth in depths[:3]], 2):
        assert one @ other < 0.99


def test_exit_without_a_head_is_asked_with_the_text_towers_own_last_one(
    text: TowerRunner, image: TowerRunner, depths: list[int]
) -> None:
    own = text.spec.exits[-1]
    expected = text.embed(text.advance(text.start_texts([QUESTION]), own.segment), own)[0]
    bare = replace(image.spec, exits=tuple(replace(place, query=None) for place in image.spec.exits))
    asked = Granularities(text, bare, QUESTION)
    for depth in depths:
        np.testing.assert_array_equal(asked.at(depth), expected)


def test_text_passes_its_tower_once_and_each_head_runs_once_when_it_is_asked_for(
    asked: Granularities, counting: Counting, granular: Bundle, depths: list[int]
) -> None:
    text = granular.manifest.tower("text")
    passed = [str(segment.model.variants[0].path) for segment in text.segments]
    assert counting.ran == passed
    for depth in depths * 2:
        asked.at(depth)
    heads = [place.query or text.exits[-1].head for place in granular.manifest.tower("image").exits]
    distinct = list(dict.fromkeys(str(head.variants[0].path) for head in heads))
    assert distinct[:2] == ["image/query-00.tflite", "image/query-01.tflite"]
    assert counting.ran == [*passed, *distinct]


def test_depth_without_an_exit_is_refused_with_those_there_are(asked: Granularities, depths: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"^no exit at depth 1: there are {', '.join(map(str, depths))}$"):
        asked.at(1)


def test_each_exits_items_are_scored_with_the_questions_embedding_for_it(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    asked: Granularities,
    by_hand: dict[int, Floats],
) -> None:
    first, second, *_, last = image.spec.exits
    left_at = dict(zip(pictures, (first, second, last, first, second, last), strict=False))
    for file, place in left_at.items():
        remember([file], place)
    found = Filter(memory, image.spec, NEVER).best(asked, 6)
    expected = {
        str(file): embeddings(image, file)[place.depth] @ by_hand[place.depth] for file, place in left_at.items()
    }
    scores = {memory.item(one.item).source: one.score for one in found}
    assert scores == pytest.approx(expected, abs=2e-3)  # float16 on disk
    assert [one.logit for one in found] == sorted((one.logit for one in found if one.logit is not None), reverse=True)


def test_pool_is_finished_with_the_embedding_for_the_last_exit(
    banks: Banks,
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    asked: Granularities,
    by_hand: dict[int, Floats],
) -> None:
    remember(pictures[:5])
    last = image.spec.exits[-1].depth
    pool: Sequence[Candidate] = Filter(memory, image.spec, NEVER).best(asked, 5)
    hits = hits_of(Corrector(image, memory, banks, batch=2).rank(asked, pool), memory)
    expected = {str(file): embeddings(image, file)[last] @ by_hand[last] for file in pictures[:5]}
    assert {hit.item.source: hit.score for hit in hits} == pytest.approx(expected, abs=1e-3)


def test_question_runs_the_heads_of_occupied_exits_and_of_the_last_and_nothing_when_it_comes_again(
    retriever: Retriever,
    counting: Counting,
    granular: Bundle,
    pictures: list[Path],
    remember: Callable[..., None],
) -> None:
    remember(pictures[:3])
    text = granular.manifest.tower("text")
    passed = [str(segment.model.variants[0].path) for segment in text.segments]
    last = granular.manifest.tower("image").exits[-1].query or text.exits[-1].head
    counting.ran.clear()
    answer = retriever.ask(Question(text=QUESTION, limit=3))
    assert text_runs(counting, granular) == [*passed, "image/query-00.tflite", str(last.variants[0].path)]
    assert (answer.refined, len(answer.hits)) == (2, 3)
    counting.ran.clear()
    retriever.ask(Question(text=QUESTION, limit=3, refine=False))
    assert counting.ran == []


def test_answer_holds_fine_scores_of_the_last_exit_and_coarse_ones_of_the_items_own(
    retriever: Retriever,
    image: TowerRunner,
    pictures: list[Path],
    remember: Callable[..., None],
    by_hand: dict[int, Floats],
) -> None:
    remember(pictures[:3])
    for hit in retriever.ask(Question(text=QUESTION, limit=3)).hits:
        expected = embeddings(image, Path(hit.item.source))[hit.depth] @ by_hand[hit.depth]
        assert hit.score == pytest.approx(expected, abs=2e-3)
