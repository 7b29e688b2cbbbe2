"""Which policy becomes the default, at which setting, and where a probe sets windows and exits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.policies import Outcome
from converter.steps.choose import Compared, _reason, _setting, _winner, recommended
from converter.steps.judged import Judged
from converter.steps.probe import probed_exits, probed_windows
from edge.bundle import Policies, PolicySetting
from edge.items import Floats

pytestmark = pytest.mark.convert


def compared(policy: str, at_10: float, *, wins: bool) -> Compared:
    return Compared(policy=policy, cost=0.5, at_1=0.0, error_1=0.01, at_10=at_10, error_10=0.01, wins=wins)


def setting(policy: str, cost: float, at_10: float) -> PolicySetting:
    return PolicySetting(
        policy=policy,  # type: ignore[arg-type]  # one of the policies
        centre=12 * cost,
        cost=cost,
        recall_at_1=at_10 / 3,
        recall_at_10=at_10,
        kept_at_10=at_10 / 0.7,
        exits=(1.0, 0.0),
    )


def test_nothing_that_wins_leaves_the_fixed_exit_and_the_reason_says_so() -> None:
    both = [compared("predict", 0.01, wins=False), compared("gate", 0.015, wins=False)]
    assert _winner(both) == "fixed"
    assert _reason("fixed", both).startswith(
        "fixed: nothing wins by two standard errors at equal milliseconds (predict"
    )


def test_of_two_that_win_the_better_one_is_the_default() -> None:
    both = [compared("predict", 0.03, wins=True), compared("gate", 0.02, wins=True)]
    assert _winner(both) == "predict"
    assert "+0.030 ± 0.010 recall@10" in _reason("predict", both)


def test_gate_with_neighbours_is_reported_but_never_shipped() -> None:
    assert _winner([compared("gate+neighbours", 0.09, wins=True), compared("gate", 0.02, wins=True)]) == "gate"
    assert _winner([compared("gate+neighbours", 0.09, wins=True), compared("gate", 0.02, wins=False)]) == "fixed"


def test_setting_of_a_policy_that_does_not_ship_is_a_mistake_of_the_program() -> None:
    hits = np.ones((4, 3), dtype=bool)
    found = Outcome("gate+neighbours", 6.0, 0.5, np.zeros(4, dtype=np.int64), hits)
    with pytest.raises(KeyError, match=r"gate\+neighbours"):
        _setting(found, 2, 0.9)
    assert _setting(replace(found, policy="fixed"), 2, 0.9).policy == "fixed"
    assert _setting(replace(found, policy="gate"), 2, 0.9).policy == "gate"


def policies(default: str, *settings: PolicySetting) -> Policies:
    return Policies(default=default, stray=60.0, survival=(0.5, 1.0), settings=settings)  # type: ignore[arg-type]


def test_recommended_setting_is_the_cheapest_that_keeps_95_percent() -> None:
    full, near, far = (setting("fixed", cost, at_10) for cost, at_10 in ((1.0, 0.70), (0.5, 0.68), (0.3, 0.60)))
    gate = setting("gate", 0.4, 0.67)
    assert recommended(policies("fixed", far, near, full)) == near
    assert recommended(policies("gate", far, near, full, gate)) == gate


def test_setting_that_keeps_95_percent_on_average_but_not_at_least_is_not_recommended() -> None:
    full, sure = setting("fixed", 1.0, 0.70), setting("gate", 0.5, 0.68)
    lucky = replace(setting("gate", 0.4, 0.67), kept_at_10=0.949)
    assert recommended(policies("gate", full, sure, lucky)) == sure


def test_recommended_setting_is_full_depth_where_the_default_keeps_too_little() -> None:
    full, gate = setting("fixed", 1.0, 0.70), setting("gate", 0.4, 0.40)
    assert recommended(policies("gate", full, gate)) == full


# Four items with one caption each, at depths 1 to 4: found from depth 1, 2, 2, and never.
RANKS = np.array([[0, 3, 3, 3], [0, 0, 0, 3], [0, 0, 0, 3], [0, 0, 0, 3]], dtype=np.int32)
OWNERS = np.arange(4)
SURVIVE = 500  # of 1,000: the first two of four


def test_windows_of_a_probe_end_where_items_are_first_found() -> None:
    windows = probed_windows(RANKS, OWNERS, 4, (1, 2, 3, 4), 4, SURVIVE)
    assert windows == ((1, 1), (2, 3), (4, 4))  # two leave at 1; no window is more than twice as long as the last


def test_exits_of_a_probe_are_those_of_least_milliseconds() -> None:
    # With exits 2 and 4 all leave after 2 ms; with 1 and 4 two would ride to the end.
    assert probed_exits(RANKS, OWNERS, 4, (1.0, 2.0, 3.0, 4.0), 2, SURVIVE) == (2, 4)
    assert probed_exits(RANKS, OWNERS, 4, (1.0, 2.0, 3.0, 4.0), 3, SURVIVE) == (1, 2, 4)


def judged(items: int, queries: int) -> Judged:
    random = np.random.default_rng(0)

    def unit(*shape: int) -> Floats:
        x = random.standard_normal(shape).astype(np.float32)
        made: Floats = x / np.linalg.norm(x, axis=-1, keepdims=True)
        return made

    arrays = {
        "items": unit(2, items, 8),
        "queries": unit(2, items * queries, 8),
        "owners": np.repeat(np.arange(items), queries).astype(np.float32),
        "bank": unit(2, 30, 8),
        "pooled": unit(items, 4),
    }
    return Judged(arrays, (0.5, 1.0), 2)


def test_split_oracle_is_judged_on_queries_that_it_was_not_told() -> None:
    side = judged(items=10, queries=5)
    rest, _ = side.oracle(side.raw, 20, 0)
    assert np.bincount(rest.owners).tolist() == [2] * 10
    assert rest.logits.shape == (2, 20, 10)
    again, _ = side.oracle(side.raw, 20, 0)
    assert np.array_equal(rest.logits, again.logits)
