"""What heads are taught with: captions brought to one length, rows of the right items, all of their views."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter.steps.catalogue import Captions, Catalogue, Entry, spread
from converter.steps.study import study_of, taught_rows

pytestmark = pytest.mark.convert
ROLES = ("train", "test", "held", "train", "held")


def catalogue() -> Catalogue:
    entries = tuple(
        Entry(name=f"{number}.jpg", path=f"/photos/{number}.jpg", role=role, fold=number / 10)
        for number, role in enumerate(ROLES)
    )
    return Catalogue(kind="pairs", entries=entries, skipped=(), texts_taken=0)


def captions(*, known: bool = True) -> Captions:
    features = torch.arange(20.0).reshape(5, 2, 2)
    return Captions(features, np.full((5, 2), known), None)


def features(views: int) -> dict[int, torch.Tensor]:
    """Rows that tell which item they are of: items 0 to 4, then views of the four that are taught, as 100 + item."""
    plain = [[float(number)] for number in range(5)]
    cropped = [[100.0 * view + number] for view in range(1, views + 1) for number in (0, 2, 3, 4)]
    return {3: torch.tensor(plain + cropped)}


def test_item_with_fewer_captions_has_them_over_again_and_the_repeats_are_not_counted() -> None:
    texts, known = spread([("a dog", "a pup", "a hound"), ("a cat",), ()])
    assert texts == [["a dog", "a pup", "a hound"], ["a cat", "a cat", "a cat"], ["", "", ""]]
    assert known.tolist() == [[True] * 3, [True, False, False], [False] * 3]


def test_nothing_to_spread_is_an_empty_table() -> None:
    texts, known = spread([])
    assert texts == []
    assert known.shape == (0, 0)


def test_folds_are_those_of_held_items_alone() -> None:
    first, second = catalogue().folds(2)
    assert (first.tolist(), second.tolist()) == ([2, 4], [])
    assert [fold.tolist() for fold in catalogue().folds(4)] == [[2], [4], [], []]


def test_heads_learn_from_all_but_the_test_side() -> None:
    assert taught_rows(catalogue(), captions()).tolist() == [0, 2, 3, 4]


def test_heads_learn_from_everything_where_nothing_can_be_tested() -> None:
    assert taught_rows(catalogue(), captions(known=False)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("views", [0, 1, 2])
def test_study_of_some_items_has_all_of_their_views_and_no_others(views: int) -> None:
    study = study_of(catalogue(), captions(), features(views), np.array([2, 4]))
    wanted = [2.0, 4.0] + [100.0 * view + number for view in range(1, views + 1) for number in (2, 4)]
    assert study.features[3].flatten().tolist() == wanted
    assert study.items == 2
    assert study.captions is not None
    assert torch.equal(study.captions, captions().features[torch.tensor([2, 4])])


def test_part_of_a_study_keeps_the_views_of_its_items() -> None:
    study = study_of(catalogue(), captions(), features(2), np.array([0, 2, 4])).of(torch.tensor([1]))
    assert study.features[3].flatten().tolist() == [2.0, 102.0, 202.0]
    assert study.items == 1


def test_study_without_captions_says_so() -> None:
    study = study_of(catalogue(), captions(known=False), {3: torch.zeros(5, 1)}, np.arange(5))
    assert study.captions is None
