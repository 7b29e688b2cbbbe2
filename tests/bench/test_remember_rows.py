"""The benchmark of remembering: its baselines, its arithmetic and its pages, on numbers made by hand."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from edge.bench.remember import as_json, markdown, svg
from edge.bench.remember.figures import Ratio, Report, RowFigures, figures
from edge.bench.remember.recalls import Recall
from edge.bench.remember.rows import FULL, OURS, ROWS, STREAMED_ALONE
from edge.bench.remember.ways import Confidence, Dealt, exits_of, fit_thresholds
from edge.bench.remember.worker import Result, Took
from edge.power import Spent
from edge.relevance import ENTROPY, NUMBERS, Profile
from edge.remember.policy import UNDECIDED, Stop

BY_DEPTH = {3: 0.25, 5: 0.5, 12: 1.0}
COSTS = np.array([0.25, 0.5, 1.0], dtype=np.float32)


def entropies(items: int) -> np.ndarray:
    return np.random.default_rng(0).random((items, 3), dtype=np.float32)


def stop(number: int, *nats: float) -> Stop:
    numbers = np.zeros((len(nats), NUMBERS), dtype=np.float32)
    numbers[:, ENTROPY] = nats
    sims = np.zeros((len(nats), 20), dtype=np.float32)
    return Stop(number, sims, Profile(sims, numbers), None)


@pytest.mark.parametrize("wanted", [0.3, 0.45, 0.8])
def test_thresholds_cost_what_is_wanted(wanted: float) -> None:
    known = entropies(2000)
    thresholds = fit_thresholds(known, COSTS, wanted)
    assert COSTS[exits_of(known, np.array(thresholds))].mean() == pytest.approx(wanted, abs=0.01)


def test_an_item_leaves_where_it_is_confident_and_at_the_last_exit_in_any_case() -> None:
    policy = Confidence((0.5, 0.2, 0.0))
    assert policy.known(3) is None
    assert policy.decide(stop(0, 0.4, 0.6)).tolist() == [0, UNDECIDED]
    assert policy.decide(stop(1, 0.4, 0.1)).tolist() == [UNDECIDED, 1]
    assert policy.decide(stop(2, 0.4, 9.0)).tolist() == [2, 2]


def test_exits_are_dealt_by_the_histogram_and_the_same_in_every_run() -> None:
    dealt = Dealt((2.0, 1.0, 1.0)).known(4000)
    assert dealt is not None
    assert dealt.tolist() == Dealt((2.0, 1.0, 1.0)).known(4000).tolist()  # type: ignore[union-attr]
    assert [count / 4000 for _, count in sorted(Counter(dealt.tolist()).items())] == pytest.approx(
        [0.5, 0.25, 0.25], abs=0.03
    )


def test_exits_that_are_dealt_on_the_way_are_this_one_or_deeper() -> None:
    assert set(Dealt((1.0, 1.0, 1.0)).decide(stop(1, *[0.0] * 100)).tolist()) == {1, 2}


def took(wall_s: float) -> Took:
    return Took(wall_s=wall_s, processor_s=wall_s / 2, busy_s=wall_s, invoke_s=0.9 * wall_s - 0.1, waiting_s=0.1)


def result(*depths: int) -> Result:
    return Result(
        depths=np.array(depths),
        embeddings=np.eye(len(depths), dtype=np.float32),
        offsets=np.zeros(len(depths), dtype=np.float32),
        anonymous_bytes=50_000_000,
        resident_bytes=90_000_000,
    )


def of_ours(spent: Spent) -> RowFigures:
    ours = next(row for row in ROWS if row.name == OURS)
    taken = {
        FULL: ([took(4.0), took(6.0), took(4.0)], result(12, 12, 12, 12)),
        STREAMED_ALONE: ([took(8.0), took(8.0), took(8.0)], result(12, 12, 12, 12)),
        OURS: ([took(2.0), took(2.0), took(1.0)], result(3, 3, 5, 12)),
    }
    return figures(ours, taken, Recall(0.25, 0.7), spent, "measured_board", BY_DEPTH)


def test_a_ratio_is_the_median_over_blocks_that_ran_side_by_side() -> None:
    found = of_ours(Spent(gross_j=8.0, count=4))
    assert found.to_full == Ratio(3.0, 2.0, 4.0)
    assert found.to_mem == Ratio(4.0, 4.0, 8.0)
    assert found.allowed == pytest.approx(4 / (0.25 + 0.25 + 0.5 + 1.0))
    assert found.items_per_s == pytest.approx(4 / 5)
    assert found.processor_ms == pytest.approx(2500 / 4)
    assert found.exits == {3: 0.5, 5: 0.25, 12: 0.25}


def test_time_outside_invoke_leaves_out_what_waited_for_the_loader() -> None:
    assert of_ours(Spent()).outside_share == pytest.approx(1 - (0.9 * 5 - 0.3) / (5 - 0.3))


def test_joules_are_those_above_the_idle_board_where_that_is_known() -> None:
    assert of_ours(Spent(gross_j=8.0, count=4, net_j=2.0, net_count=4)).energy_j == 0.5
    assert of_ours(Spent(gross_j=8.0, count=4)).energy_j == 2.0
    assert of_ours(Spent()).energy_j is None


@pytest.fixture
def report() -> Report:
    full = of_ours(Spent())
    rows = [
        RowFigures(**{**{name: getattr(full, name) for name in full.__slots__}, "name": row.name, "title": row.title})
        for row in ROWS
    ]
    return Report(model="a <model>", items=4, overhead_only=False, said=("a date, a machine",), rows=rows)


def test_the_table_has_a_line_for_each_row_and_says_what_kind_of_joules_they_are(report: Report) -> None:
    text = markdown(report)
    assert [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()[-len(ROWS) :]] == [
        row.title for row in ROWS
    ]
    assert "J an item (measured_board)" in text
    assert "3.00x [2.00, 4.00] | 150% of 2.00x |" in text
    assert "0.250 (100.0%)" in text
    assert "- a date, a machine" in text


def test_json_holds_every_figure(report: Report) -> None:
    read = json.loads(as_json(report))
    assert read["rows"][0]["to_full"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert len(read["rows"]) == len(ROWS)


def test_the_picture_is_xml_with_a_bar_for_each_row(report: Report) -> None:
    root = ET.fromstring(svg(report))  # noqa: S314 - our own
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + len(ROWS)
    assert any("a <model>" in (text.text or "") for text in root.iter("{http://www.w3.org/2000/svg}text"))
