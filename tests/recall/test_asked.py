"""A question that comes again is not passed through the text tower again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.recall.asked import _KEPT, Asked
from edge.recall.granularity import Granularities
from edge.runtime import Invoke, TowerRunner


@pytest.fixture
def ran() -> list[Model]:
    return []


@pytest.fixture
def asked(bundle: Bundle, image: TowerRunner, text: TowerRunner, invoke: Invoke, ran: list[Model]) -> Asked:
    def counted(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        ran.append(model)
        return invoke(model, inputs)

    return Asked(TowerRunner(bundle.folder, text.spec, counted), image.spec)


def test_same_text_runs_the_tower_once_and_has_the_same_embeddings(
    asked: Asked, image: TowerRunner, text: TowerRunner, ran: list[Model]
) -> None:
    depth = image.spec.exits[-1].depth
    first = asked.embed("a dog").at(depth).copy()
    once = list(ran)
    again = asked.embed("a dog").at(depth)
    assert ran == once
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again, Granularities(text, image.spec, "a dog").at(depth))


@pytest.mark.parametrize("other", ["a cat", "A dog", "a dog ", ""])
def test_another_text_is_another_question(asked: Asked, ran: list[Model], other: str) -> None:
    first = asked.embed("a dog")
    before = len(ran)
    assert asked.embed(other) is not first
    assert len(ran) > before


def test_only_the_last_are_kept_and_asking_again_counts(asked: Asked, ran: list[Model]) -> None:
    for number in range(_KEPT):
        asked.embed(f"question {number}")
    asked.embed("question 0")
    asked.embed("one more")
    before = len(ran)
    asked.embed("question 0")
    asked.embed(f"question {_KEPT - 1}")
    assert len(ran) == before
    asked.embed("question 1")
    assert len(ran) > before
    assert len(asked._kept) == _KEPT
