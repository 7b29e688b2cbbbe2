"""Numbers from stored neighbours, against sorting one item at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.neighbours import neighbour_numbers
from edge.items import Floats
from galleries import stock, unit


def one_by_one(items: Floats, bank: Floats) -> Floats:
    """As the docstring tells it, without a shortcut."""
    rows = []
    for number, item in enumerate(items):
        others = sorted((float(item @ other) for place, other in enumerate(items) if place != number), reverse=True)
        ranks = [sum(row @ other > row @ item for other in items) for row in bank]
        nearest = sorted(range(len(bank)), key=lambda place: -float(bank[place] @ item))[:10]
        logs = [np.log1p(ranks[place]) for place in nearest]
        rows.append(
            (
                others[0],
                np.mean(others[:5]),
                np.mean(others[:20]),
                np.mean(others),
                np.log1p(sum(rank < 20 for rank in ranks)),
                np.mean(logs),
                min(logs),
                logs[0],
            )
        )
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize(("items", "rows"), [(60, 40), (21, 20), (20, 20), (8, 12), (2, 5)])
def test_numbers_are_those_of_sorting_item_by_item(items: int, rows: int) -> None:
    stored, bank = stock(1, rows=items, width=8), stock(2, rows=rows, width=8)
    np.testing.assert_allclose(neighbour_numbers(stored, bank), one_by_one(stored, bank), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_order_of_items_and_bank_rows_does_not_matter(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    items, bank = stock(seed, rows=count, width=8), stock(seed + 1, rows=25, width=8)
    order = random.permutation(count)
    expected = neighbour_numbers(items, bank)[order]
    np.testing.assert_allclose(neighbour_numbers(items[order], random.permutation(bank)), expected, atol=1e-5)


def test_item_that_every_bank_row_finds_first_says_so() -> None:
    bank = unit(stock(3, rows=30, width=8) + 2 * np.eye(8, dtype=np.float32)[0])
    items = np.concatenate([np.eye(8, dtype=np.float32)[:1], unit(stock(4, rows=40, width=8) - 2 * np.eye(8)[0])])
    hub, *others = neighbour_numbers(items, bank)
    assert hub[4] == pytest.approx(np.log(31))
    np.testing.assert_array_equal(hub[5:], [0, 0, 0])
    assert max(other[4] for other in others) < hub[4] + 1e-6
    assert min(other[6] for other in others) > 0


def test_item_is_no_neighbour_of_its_own_but_its_copy_is() -> None:
    items = np.eye(8, dtype=np.float32)
    alone = neighbour_numbers(items, stock(5, width=8))
    twice = neighbour_numbers(np.concatenate([items, items[:1]]), stock(5, width=8))
    assert alone[0, 0] == 0
    assert twice[[0, 8], 0].tolist() == [1.0, 1.0]
    assert twice[1, 0] == 0
