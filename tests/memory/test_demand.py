"""Which sources are asked for: what questions teach, what they forget, and what a source is worth by that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from edge.memory.cache.demand import KEPT, MOST, PRIOR, WINDOW, Demand, source_of


class Rows:
    """Items 1 to N with their sources, read two at a time; counts what was read."""

    def __init__(self, *sources: str) -> None:
        self.sources, self.read = list(sources), 0

    def __call__(self, last: int) -> Sequence[tuple[int, str]]:
        found = list(enumerate(self.sources, 1))[last : last + 2]
        self.read += len(found)
        return found


def demand_of(rows: Rows, counted: Mapping[str, float] | None = None) -> Demand:
    return Demand(counted or {}, rows)


def factors(demand: Demand, *items: int) -> list[float]:
    found: list[float] = demand.factors(np.array(items, dtype=np.int64)).tolist()
    return found


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/photos/2024/a.jpg", "/photos/2024/"),
        ("/a.jpg", "/"),
        ("/photos/", "/photos/"),
        ("kitchen camera", "kitchen camera"),
        ("", ""),
    ],
)
def test_photos_of_one_folder_are_of_one_source_and_any_other_text_is_one(text: str, source: str) -> None:
    assert source_of(text) == source


def test_before_the_first_question_all_are_worth_the_same_and_nothing_is_read() -> None:
    rows = Rows("door", "yard")
    assert factors(demand_of(rows), 1, 2, 99) == [1.0, 1.0, 1.0]
    assert rows.read == 0


def test_what_is_asked_for_is_worth_more_than_its_share_and_the_rest_less() -> None:
    demand = demand_of(Rows("door", "door", "door", "yard"))
    for _ in range(20):
        demand.answered(["yard", "yard"])
    door, yard = factors(demand, 1, 4)
    assert yard == pytest.approx((20 + PRIOR) / (5 + PRIOR))
    assert door == pytest.approx(PRIOR / (15 + PRIOR))
    assert factors(demand, 3, 2, 4, 1) == [door, door, yard, door]


def test_questions_that_ask_for_each_source_by_its_share_make_no_difference() -> None:
    demand = demand_of(Rows("door", "door", "door", "yard"))
    for _ in range(50):
        demand.answered(["door", "door", "door", "yard"])
    assert factors(demand, 1, 4) == [pytest.approx(1.0)] * 2


def test_question_counts_once_however_many_hits_it_has() -> None:
    demand = demand_of(Rows("door", "yard"))
    demand.answered(["door"] * 900 + ["yard"] * 100)
    demand.answered(["yard"])
    assert demand.pending() == {"door": pytest.approx(0.9), "yard": pytest.approx(1.1)}
    demand.answered([])
    assert sum(demand.pending().values()) == pytest.approx(2.0)


def test_factor_has_bounds_in_both_directions() -> None:
    demand = demand_of(Rows(*["door"] * 999, "yard"), {"yard": WINDOW - 1})
    assert factors(demand, 1, 1000) == [1 / MOST, MOST]


def test_new_small_or_unknown_source_is_worth_about_as_much_as_ever() -> None:
    rows = Rows(*["door"] * 200)
    demand = demand_of(rows, {"door": 100.0})
    assert factors(demand, 1, 201) == [pytest.approx(1.0), 1.0]
    rows.sources.append("new")
    assert factors(demand, 201)[0] == pytest.approx(1.0, abs=0.1)


def test_only_what_came_since_is_read_and_counts_among_the_shares() -> None:
    rows = Rows("door", "yard")
    demand = demand_of(rows, {"door": 20.0})
    before = factors(demand, 1)[0]
    rows.sources += ["yard"] * 6
    after = factors(demand, 1)[0]
    assert rows.read == 8
    assert before == pytest.approx((20 + PRIOR) / (10 + PRIOR))
    assert after == pytest.approx((20 + PRIOR) / (20 / 8 + PRIOR))


def test_last_month_does_not_rule_for_ever() -> None:
    demand = demand_of(Rows("door", "yard"))
    for _ in range(1_000):
        demand.answered(["door"])
    for _ in range(300):
        demand.answered(["yard"])
    door, yard = factors(demand, 1, 2)
    assert yard > 1 > door
    assert sum(demand.pending().values()) <= WINDOW


def test_any_number_of_sources_leaves_those_that_are_asked_for_most() -> None:
    demand = demand_of(Rows())
    for number in range(5_000):
        demand.answered(["door"] * 2 + [f"camera {number}"])
    assert len(demand.pending()) <= 2 * KEPT
    assert Counter(demand.pending()).most_common(1)[0][0] == "door"


def test_what_is_counted_no_more_is_deleted_where_it_was_written_once() -> None:
    demand = demand_of(Rows(), {"once": 1.0})
    demand.answered(["soon"])
    demand.settled(demand.pending())
    for number in range(3_000):
        demand.answered(["door", f"camera {number}"])
    gone = {source for source, count in demand.pending().items() if not count}
    assert gone == {"once", "soon"}
    demand.settled(demand.pending())
    assert demand.pending() == {}


def test_what_is_written_is_pending_no_more_unless_it_went_on_meanwhile() -> None:
    demand = demand_of(Rows("door", "yard"))
    demand.answered(["door", "yard"])
    written = demand.pending()
    demand.answered(["yard"])
    demand.settled(written)
    assert demand.pending() == {"yard": 1.5}
    demand.settled(demand.pending())
    assert demand.pending() == {}


def test_source_that_is_forgotten_is_counted_and_pending_no_more() -> None:
    rows = Rows("door", "yard")
    demand = demand_of(rows, {"door": 5.0})
    demand.answered(["yard"])
    factors(demand, 1)
    demand.forget(["yard"])
    rows.sources = ["door", "door"]
    assert demand.pending() == {}
    assert factors(demand, 1, 2) == [1.0, 1.0]


def test_an_id_of_any_size_takes_no_more_memory_than_another() -> None:
    sparse = [(5, "door"), (10**15, "yard")]
    demand = Demand({"yard": 20.0}, lambda last: [row for row in sparse if row[0] > last])
    assert factors(demand, 6, 10**15, 5)[0] == 1.0
    assert factors(demand, 10**15)[0] > 1 > factors(demand, 5)[0]
