"""Captions in a block of equal rows, whatever number of them an item has."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.steps.catalogue import Catalogue, Entry, spread

pytestmark = pytest.mark.convert


def test_items_with_fewer_captions_have_them_over_again_and_it_is_known_which() -> None:
    texts, known = spread([("a", "b", "c"), ("d",), ()])
    assert texts == [["a", "b", "c"], ["d", "d", "d"], ["", "", ""]]
    assert known.tolist() == [[True] * 3, [True, False, False], [False] * 3]


@pytest.mark.parametrize("items", [0, 3])
def test_items_without_any_caption_and_no_items_at_all_keep_their_shape(items: int) -> None:
    texts, known = spread([()] * items)
    assert texts == [[]] * items
    assert known.shape == (items, 0)
    assert known.dtype == np.bool_


def test_folds_share_the_held_items_out_by_content_and_no_others() -> None:
    roles = ["train", "held", "test", "held", "held"]
    entries = tuple(
        Entry(name=str(number), path=str(number), role=role, fold=number / len(roles))
        for number, role in enumerate(roles)
    )
    catalogue = Catalogue(kind="pairs", entries=entries, skipped=(), texts_taken=0)
    assert [fold.tolist() for fold in catalogue.folds(2)] == [[1], [3, 4]]
    assert catalogue.rows("train", "test").tolist() == [0, 2]
