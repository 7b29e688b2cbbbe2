"""Several seeds: the arithmetic of mean and spread, and what may not be combined."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

pytest.importorskip("matplotlib", reason="needs the host tools: make convert-env")

from converter.recipe import RECIPES, load_recipe
from converter.report import Recall, Report, SeedTable, Spread, combine, recipe_digest, render_markdown, render_page
from converter.report.seeds import spread
from edge.errors import UsageError
from reports import bare_report, full_report

pytestmark = pytest.mark.convert


@pytest.fixture(scope="module")
def table() -> SeedTable:
    return combine([full_report(2), full_report(0), full_report(1)])


def numbers(found: Spread | None) -> tuple[float, ...]:
    """Mean, deviation, smallest, largest."""
    assert found is not None
    return astuple(found)


def recalled(seed: int, at_10: float) -> Report:
    """A report whose full depth finds `at_10`."""
    report = full_report(seed)
    last = replace(report.exits[-1], calibrated=Recall(at_1=0.2, at_5=0.3, at_10=at_10))
    return replace(report, exits=(*report.exits[:-1], last))


def test_spread_is_mean_sample_deviation_smallest_and_largest() -> None:
    assert numbers(spread([1.0, 2.0, 6.0])) == pytest.approx((3.0, 2.6457513, 1.0, 6.0))


def test_spread_of_one_is_nothing_and_of_a_gap_is_unknown() -> None:
    assert spread([2.0]) == Spread(mean=2.0, deviation=0.0, low=2.0, high=2.0)
    assert spread([2.0, None]) is None
    assert spread([]) is None


def test_recall_of_each_exit_is_combined_over_the_seeds() -> None:
    found = combine([recalled(0, 0.70), recalled(1, 0.71), recalled(2, 0.75)]).exits[-1].recall_at_10
    assert numbers(found) == pytest.approx((0.72, 0.0264575, 0.70, 0.75))


def test_shares_have_each_seed_s_own_full_depth_below_them() -> None:
    table = combine([recalled(0, 0.70), recalled(1, 0.80)])
    pool = full_report().exits[2].kept[2]
    assert pool.pool == 50
    assert pool.calibrated is not None
    shares = [pool.calibrated.at_10 / 0.70, pool.calibrated.at_10 / 0.80]
    found = next(one for one in table.pools if (one.depth, one.pool) == (5, 50))
    mean, _deviation, low, high = numbers(found.at_10)
    assert (mean, low, high) == pytest.approx((sum(shares) / 2, shares[1], shares[0]))


def test_policies_are_compared_at_equal_cost_between_their_settings(table: SeedTable) -> None:
    found = next(one for one in table.policies if (one.policy, one.cost) == ("gate", 0.5))
    report = full_report()
    (curve,) = (curve for curve in report.policies if curve.name == "gate")
    below, above = (point for point in curve.points if point.pool == 50 and 0.43 < point.cost < 0.52)
    at_1 = below.recall_at_1 + (above.recall_at_1 - below.recall_at_1) * (0.5 - below.cost) / (above.cost - below.cost)
    full = report.exits[-1].calibrated
    assert full is not None
    assert found.at_1 is not None
    assert found.at_1.high == pytest.approx(at_1 / full.at_1)  # of seed 0, whose full depth finds least


def test_seeds_are_put_in_order_and_every_part_is_there(table: SeedTable) -> None:
    assert table.seeds == (0, 1, 2)
    assert (len(table.exits), len(table.pools), len(table.policies)) == (7, 28, 25)
    assert [name for name, _ in table.calibration] == ["ECE", "Brier skill", "gain in full recall@1"]
    assert table == combine([full_report(0), full_report(1), full_report(2)])


def test_healing_s_gain_has_its_spread(table: SeedTable) -> None:
    assert numbers(table.exits[0].gain) == pytest.approx((0.057, 0.0, 0.057, 0.057))


def test_what_one_seed_lacks_is_left_out_not_guessed() -> None:
    table = combine([full_report(0), full_report(1, calibration=None)])
    assert table.calibration == ()


def test_builds_without_recall_combine_their_milliseconds() -> None:
    table = combine([bare_report(), bare_report(seed=1)])
    assert numbers(table.exits[-1].ms) == pytest.approx((7.02, 0.0, 7.02, 7.02))
    assert table.exits[-1].recall_at_1 is None
    assert table.pools == ()


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (full_report(1, recipe="0" * 64), "the reports are of different recipes \\(3f1c.*; 0000"),
        (full_report(1, model="other"), "the reports are of different models \\(vit-tiny-flickr8k; other\\)"),
        (full_report(1, data=None), "the reports are of different data \\(ab12.*; none\\)"),
        (
            bare_report(model="vit-tiny-flickr8k", seed=1, data=full_report().data, exits=full_report().exits[2:]),
            "exits",
        ),
        (full_report(0), "two reports have seed 0: each seed counts once"),
    ],
)
def test_reports_that_differ_in_more_than_their_seed_are_refused(other: Report, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        combine([full_report(0), other])


def test_one_report_has_no_spread() -> None:
    with pytest.raises(UsageError, match="1 reports: two or more are needed for a spread over seeds"):
        combine([full_report()])


def test_the_page_of_several_seeds_has_their_section_first() -> None:
    page = render_page([full_report(0), full_report(1), full_report(2)])
    assert "The same recipe with seeds 0, 1, 2. Everything below this section is of seed 0 alone." in page
    assert page.index('<section id="seeds">') < page.index('<section id="policies">')
    assert "over 3 seeds" in page


def test_markdown_of_several_seeds_is_tables_of_mean_and_spread() -> None:
    text = render_markdown([recalled(0, 0.70), recalled(1, 0.71), recalled(2, 0.75)])
    assert text.startswith("# vit-tiny-flickr8k, seeds 0, 1, 2\n")
    assert "| depth 12 | 7.02 ± 0.00 [7.02, 7.02] | 100.0 ± 0.0 % [100.0, 100.0] | 0.707 ± 0.000 [0.707, 0.707]" in text
    assert "| -0.004 ± 0.000 [-0.004, -0.004] | 0.200 ± 0.000 [0.200, 0.200] |" in text
    assert "| 0.720 ± 0.026 [0.700, 0.750] |" in text


def test_digest_of_a_recipe_ignores_its_seed_and_nothing_else() -> None:
    recipe = load_recipe(RECIPES / "vit-tiny-flickr8k.yaml")
    assert recipe_digest(replace(recipe, seed=5)) == recipe_digest(recipe)
    assert recipe_digest(replace(recipe, model="other")) != recipe_digest(recipe)
    assert recipe_digest(replace(recipe, heal=None)) != recipe_digest(recipe)
