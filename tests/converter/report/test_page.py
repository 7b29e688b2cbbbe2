"""report.html stands alone, is well-formed, says every number, and says in words what is missing."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib", reason="needs the host tools: make convert-env")

from converter.report import Recall, Report, render_page, tables
from converter.report import origin_tables as origin
from converter.report.tables import Table
from reports import bare_report, full_report

pytestmark = pytest.mark.convert
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """What a page consists of; refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _tag, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def text() -> str:
    return render_page([full_report()])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def bare() -> Page:
    return Page(render_page([bare_report()]))


def all_tables(report: Report) -> list[Table]:
    found = [tables.recalls, tables.costs, tables.at_equal_cost, tables.differences, tables.settings, tables.histograms]
    found += [tables.labels, tables.predictors, tables.pools, tables.reliability, tables.windows, tables.parity]
    found += [tables.sizes, origin.build, origin.data, origin.licences, origin.versions]
    return [make(report) for make in found]


def test_page_needs_nothing_from_elsewhere_and_no_script(text: str, page: Page) -> None:
    assert not re.search(r"https?://|//[a-z]|@import|@font-face|file:", text)
    assert not page.count.keys() & {"script", "link", "iframe", "object", "img", "image", "base", "form"}
    assert not [name for _tag, name, _value in page.attributes if name.startswith("on") or name == "src"]
    links = [value for name in ("href", "xlink:href") for value in page.values(name)]
    assert all(link.startswith("#") for link in links)


def test_every_link_leads_somewhere_and_every_id_is_there_once(text: str, page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = {value[1:] for value in page.values("href")} | set(re.findall(r"url\(#([^)]*)\)", text))
    assert named <= set(ids)
    assert {name for value in page.values("aria-labelledby") for name in value.split()} <= set(ids)


def test_every_table_stands_in_the_page_with_every_cell(page: Page, text: str) -> None:
    for table in all_tables(full_report()):
        assert table.rows, table.caption
        assert html.escape(table.caption) in text
        for cell in (cell for row in (table.head, *table.rows) for cell in row):
            assert f">{html.escape(cell)}<" in text
    assert page.count["table"] == len(all_tables(full_report()))
    assert page.count["caption"] == page.count["table"] == page.count["thead"]


def test_rows_and_columns_are_named_for_a_screen_reader(page: Page) -> None:
    scopes = page.values("scope")
    assert len(scopes) == page.count["th"]
    assert set(scopes) == {"row", "col"}


def test_every_plot_is_there_with_title_and_description(page: Page, text: str) -> None:
    assert page.count["svg"] == page.count["figure"] == page.count["desc"] == 11
    assert page.values("role").count("img") == 11
    for name in ("exits-at-1", "exits-at-10", "policies-at-1", "pools-at-10", "reliability", "loss", "labels", "cost"):
        assert re.search(
            rf'<title id="{name}-title">[^<]{{8,}}</title><desc id="{name}-description">[^<]{{20,}}<', text
        )


def test_letters_of_a_plot_are_text_that_can_be_read_and_searched(text: str) -> None:
    plot = text[text.index("policies-at-10-title") : text.index("Where items leave under each policy")]
    words = re.findall(r"<text [^>]*>([^<]*)</text>", plot)
    assert {"fixed exit", "gate", "random", "split oracle", "fixed, not calibrated", "default"} <= set(words)
    assert "share of full-depth milliseconds, %" in words


def test_plots_take_the_colours_of_the_page(text: str) -> None:
    body = text[text.index("<body>") :]
    assert not re.search(r"(fill|stroke): #(?!000000|ffffff)", body)
    assert body.count("var(--blue)") > 20
    assert "prefers-color-scheme:dark" in text


def test_same_report_gives_the_same_bytes_also_in_another_process(text: str) -> None:
    assert render_page([full_report()]) == text
    program = "import sys; from converter.report import render_page; from reports import full_report;"
    program += "sys.stdout.buffer.write(render_page([full_report()]).encode())"
    search = f"import sys; sys.path[:0] = {sys.path!r};"
    done = subprocess.run([sys.executable, "-c", search + program], capture_output=True, check=True)
    assert done.stdout.decode() == text


def test_head_answers_in_one_paragraph_what_the_default_keeps_and_costs(page: Page) -> None:
    assert (
        "With its default policy, gate, vit-tiny-flickr8k keeps 98.4 % of full recall@1 and 95.4 % of full recall@10"
        " at 43.2 % of the milliseconds with pool 50: 3.03 instead of 7.02 ms an item."
    ) in page.text
    assert "Why gate: it beats the calibrated fixed exit by more than two standard errors in recall@10." in page.text
    assert (
        "Healing moves recall@10 by +0.057 at depth 3, where it helps most, and by -0.004 at full depth." in page.text
    )


def test_calibration_is_said_with_its_baseline(page: Page) -> None:
    assert "Brier score 0.01702 against 0.01963 for always saying the base rate of 2.03 %: skill 0.133." in page.text
    assert "At full depth it moves recall@1 by +0.016 ± 0.003 (paired)." in page.text


def test_skipped_items_are_counted_and_named_and_nothing_is_markup(page: Page, text: str) -> None:
    assert "Skipped, since they could not be read: 12 items: 1305564994.jpg, a & b.jpg and 10 more." in page.text
    assert "Example 9000 <x86_64>" in page.text
    assert "<x86_64>" not in text


def test_a_page_without_measurements_says_so_and_has_only_the_plot_of_costs(bare: Page) -> None:
    assert bare.count["svg"] == 1
    assert "clip-random has 7 exits, from depth 3 (26.0 % of the milliseconds) to 12 of 12 layers" in bare.text
    assert "Recall was not measured: the build had no items with queries to measure it on." in bare.text
    assert "This build was not healed: the trunk's weights are the published ones" in bare.text
    assert "No policy was compared" in bare.text
    assert "No survival labels were made, so there is no predictor and no gate." in bare.text
    assert "Exported files were not compared with torch." in bare.text
    assert "No item was skipped." in bare.text


def test_a_build_that_is_not_calibrated_says_so_and_ranks_by_cosine() -> None:
    full = full_report()
    exits = [
        replace(place, calibrated=None, kept=tuple(replace(pool, calibrated=None) for pool in place.kept))
        for place in full.exits
    ]
    page = Page(render_page([replace(full, exits=tuple(exits), calibration=None)]))
    assert "This bundle is not calibrated: there were too few query-item pairs" in page.text
    assert "by one fixed exit, raw cosine" in page.text
    assert page.count["svg"] == 10
    assert "not calibrated," not in page.text


def test_a_build_that_is_not_healed_has_no_loss_and_no_line_before_healing() -> None:
    full = full_report()
    exits = tuple(replace(place, before=None) for place in full.exits)
    page = Page(render_page([replace(full, exits=exits, healed=False, healing=())]))
    assert page.text.count("This build was not healed") == 3  # in the answer, at the exits and where healing would be
    assert page.count["svg"] == 10


def test_a_default_without_measured_settings_is_no_crash() -> None:
    page = Page(render_page([full_report(policies=())]))
    assert "The default policy is gate; its settings were not measured." in page.text


def test_one_exit_alone_is_no_crash() -> None:
    full = full_report()
    page = Page(render_page([bare_report(exits=full.exits[-1:], healed=True)]))
    assert page.count["svg"] == 3  # recall twice, and its cost: there is no pool below full depth


def test_nothing_found_at_full_depth_gives_dashes_not_a_crash() -> None:
    full = full_report()
    zero = Recall(at_1=0.0, at_5=0.0, at_10=0.0)
    last = replace(full.exits[-1], raw=zero, calibrated=zero)
    page = Page(render_page([replace(full, exits=(*full.exits[:-1], last))]))
    assert page.count["svg"] == 7  # nothing is kept of nothing: no plot of policies, none of pools
    assert "keeps – of full recall@1" in page.text  # noqa: RUF001 - the dash of a table
