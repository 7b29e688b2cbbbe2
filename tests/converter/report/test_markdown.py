"""What the terminal shows, single plots as files, and the shares behind both."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

pytest.importorskip("matplotlib", reason="needs the host tools: make convert-env")

from converter.report import Difference, render_markdown, render_plot
from converter.report.markdown import markdown_table
from converter.report.shares import at_cost, kept, nearest, shown_cost, shown_pool
from converter.report.tables import Table, at_equal_cost, differences
from edge.errors import UsageError
from reports import CHOICE, bare_report, full_report

pytestmark = pytest.mark.convert


def test_terminal_shows_the_answer_and_four_tables_in_sixty_lines() -> None:
    text = render_markdown([full_report()])
    assert text.count("\n") <= 60
    assert text.startswith("# vit-tiny-flickr8k, seed 0, 2026-03-05\n\n- With its default policy, gate, ")
    assert "| depth 5 of 12 | 41.7 % | 3.02 | 43.0 % | 6.49 | 16.0 % |" in text
    assert (
        "- Calibration: ECE 0.0047, Brier skill 0.133 over a base rate of 2.0 %, +0.016 ± 0.003 of full recall@1."
        in text
    )
    assert "| depth 3 of 12 | 26.0 % | 84.4 % / 68.8 % | 89.8 % / 79.6 % | 94.0 % / 88.0 % | 97.6 % / 95.2 % |" in text


def test_terminal_says_what_is_missing_instead_of_empty_tables() -> None:
    text = render_markdown([bare_report()])
    assert "- Recall was not measured: the build had no items with queries to measure it on." in text
    assert "- This build was not healed" in text
    assert text.count("\n| --- ") == 1  # milliseconds alone


def test_not_healed_is_said_once() -> None:
    text = render_markdown([full_report(healed=False, healing=())])
    assert text.count("This build was not healed") == 1


def test_a_pipe_in_a_cell_does_not_end_it() -> None:
    table = Table(caption="Odd", head=("a",), rows=(("x|y",),))
    assert markdown_table(table) == "Odd:\n\n| a |\n| --- |\n| x\\|y |"


def test_every_row_has_as_many_cells_as_the_head() -> None:
    for table in (at_equal_cost(full_report()), differences(full_report())):
        assert {len(row) for row in table.rows} == {len(table.head)}


def test_a_cost_between_two_settings_is_read_along_the_line_and_outside_not_at_all() -> None:
    points = [(0.2, 1.0), (0.4, 2.0), (0.6, None)]
    assert at_cost(points, 0.3) == pytest.approx(1.5)
    assert at_cost(points, 0.4) == pytest.approx(2.0)
    assert at_cost(points, 0.5) is None
    assert at_cost(points, 0.1) is None
    assert at_cost([(0.5, 3.0)], 0.5) == pytest.approx(3.0)
    assert at_cost([(0.5, 3.0), (0.5, 4.0)], 0.5) == pytest.approx(4.0)
    assert at_cost([], 0.5) is None


def test_a_share_of_nothing_is_unknown() -> None:
    assert kept(0.3, 0.6) == pytest.approx(0.5)
    assert kept(0.3, 0.0) is None


def test_the_default_decides_which_pool_and_cost_are_shown() -> None:
    report = full_report(choice=replace(CHOICE, pool=20, cost=0.26))
    assert (shown_pool(report), shown_cost(report)) == (20, 0.26)
    point = nearest(report, "gate")
    assert point is not None
    assert (point.pool, point.cost) == (20, 0.26)


def test_without_a_default_the_pool_nearest_to_fifty_is_shown() -> None:
    assert shown_pool(full_report(choice=None)) == 50
    assert shown_pool(bare_report()) == 50
    assert nearest(bare_report(), "gate") is None


@pytest.mark.parametrize(("mean", "wins"), [(0.0101, True), (0.0100, False), (-0.5, False)])
def test_a_policy_wins_by_more_than_two_standard_errors(mean: float, wins: bool) -> None:  # noqa: FBT001
    one = Difference(policy="gate", measure="recall@1", cost=0.4, pool=50, mean=mean, error=0.005)
    assert one.wins is wins


def test_one_plot_as_a_file_of_its_own_is_svg_on_white() -> None:
    text = render_plot(full_report(), "policies-at-1")
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [child.tag.rpartition("}")[2] for child in root][:3] == ["title", "desc", "rect"]
    assert "var(--" not in text
    assert text == render_plot(full_report(), "policies-at-1")


def test_a_plot_that_the_report_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"^reliability is no plot of this report: there are cost$"):
        render_plot(bare_report(), "reliability")
