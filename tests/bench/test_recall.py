"""`reminisce bench recall`: one real run over a few shipped pictures, its pages, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bench.recall import Options, as_json, bench, examining, markdown, measure, svg, visit
from edge.bench.recall import anytime as curves
from edge.bench.recall.device import POOL, Job
from edge.bench.recall.examining import POOLS
from edge.bench.recall.figures import Report, percentiles
from edge.bench.remember.crew import WorkerError
from edge.bundle import Bundle
from edge.cli.main import main
from edge.config import Config
from edge.errors import StoreError
from edge.pairs.flickr8k import CAPTIONS, PHOTOS

DEV, TRAIN, SIZE = 12, 12, 40
DEPTHS = {8, 11, 15, 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Path:
    """Flickr8k's layout out of shipped pictures, with their names for captions."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / PHOTOS).mkdir()
    for split, some in {"dev": pictures[:DEV], "train": pictures[DEV : DEV + TRAIN]}.items():
        for picture in some:
            shutil.copy(picture, folder / PHOTOS)
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(picture.name for picture in some))
    lines = [
        f"{picture.name}#{number}\t{words} {picture.stem.replace('-', ' ')}"
        for picture in pictures[: DEV + TRAIN]
        for number, words in enumerate(("a photo of", "here is", "look,"))
    ]
    (folder / CAPTIONS).write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def report(data: Path, bundle: Bundle) -> Report:
    """The whole benchmark with few questions."""
    few = pytest.MonkeyPatch()
    few.setattr(examining, "CHECKED", 6)
    few.setattr(bench, "REMEMBERED", 2)
    few.setattr(examining, "EACH", 1)
    options = Options(bundle=bundle.folder, data=data, sizes=(SIZE,), questions=3, batch=8, threads=1)
    try:
        return measure(options, Config())
    finally:
        few.undo()


def test_the_device_answers_as_the_recalls_are_counted(report: Report) -> None:
    assert [one.kept for one in report.memories] == ["full", "default", "mixed", "first", "equal"]
    assert [one.same for one in report.memories] == [1.0] * 5


def test_memories_say_where_their_items_left_and_what_that_cost(report: Report) -> None:
    full, default, mixed, first, equal = report.memories
    assert (full.exits, full.cost) == ({16: 1.0}, 1.0)
    for one in (default, mixed):
        assert set(one.exits) <= DEPTHS
        assert sum(one.exits.values()) == pytest.approx(1)
        assert 0.5 < one.cost < 1
    assert first.exits == {8: 1.0}
    assert list(equal.exits.values()) == [1.0]
    assert abs(equal.cost - default.cost) < abs(first.cost - default.cost)
    assert all(one.fill_s > 0 for one in report.memories)


def test_every_way_and_every_pool_has_its_recall(report: Report) -> None:
    for kept in ("default", "mixed"):
        assert {(one.way, one.pool) for one in report.found if one.kept == kept} == {
            *((way, pool) for way in ("single", "naive") for pool in (0, POOL)),
            *(("calibrated", pool) for pool in POOLS),
        }
    for kept in ("first", "equal"):
        found = [(one.way, one.pool) for one in report.found if one.kept == kept]
        assert found == [("calibrated", 0), ("calibrated", POOL)]
    assert report.full.at_1 > 0.5  # these names say what is to be seen
    for one in report.found:
        assert 0 <= one.recall.at_1 <= one.recall.at_5 <= one.recall.at_10 <= 1
    whole = report.of("default", "calibrated", POOL)  # every photo is finished: as full depth, but for INT4
    assert whole.at_10 == pytest.approx(report.full.at_10, abs=0.1)


def test_each_memory_and_pool_has_the_cut_offs_of_both_readings(report: Report) -> None:
    assert [(one.kept, one.pool, one.within) for one in report.cutoffs] == [
        (kept, pool, within)
        for kept, pool in (("full", 0), ("default", 0), ("default", POOL), ("mixed", 0), ("mixed", POOL))
        for within in (1, 10)
    ]
    for one in report.cutoffs:
        assert 0 < one.least < 1
        assert one.absences[0].removed <= DEV - 1


def test_without_calibration_the_tables_leave_the_cut_offs_out(report: Report) -> None:
    text = markdown(replace(report, cutoffs=()))
    assert "min_relevance" not in text
    assert "\n\n\n" not in text


def test_rows_are_timed_at_their_size_and_joules_have_a_kind(report: Report) -> None:
    keys = [(one.kept, one.way, one.pool) for one in report.timings]
    merging = [("single", 0), ("naive", 0), *(("calibrated", pool) for pool in POOLS)]
    assert keys == [("full", "calibrated", 0), *((kept, *row) for kept in ("default", "mixed") for row in merging)]
    assert all(one.items == SIZE and 0 < one.p50_ms <= one.p95_ms for one in report.timings)
    assert report.energy_kind != "none" or all(one.energy_j is None for one in report.timings)


def test_a_client_waits_longer_than_the_device_says(report: Report) -> None:
    assert any("every question goes over MQTT: through mosquitto" in line for line in report.said)
    assert all(0 < one.device_ms[0] < one.p50_ms for one in report.timings)


def test_each_memory_is_visited_in_a_process_of_its_own(report: Report) -> None:
    for one in report.visits:
        assert one.items == SIZE
        assert one.agreement == 1.0  # exact search, and so few items
        assert one.cold_ms > 0
        assert one.items_per_s > 0
        assert 20 < one.anonymous_mb < one.resident_mb


def test_a_later_deadline_finishes_more(report: Report) -> None:
    for kept in ("default", "mixed"):
        points = [one for one in report.curve if one.kept == kept]
        assert [one.deadline_ms for one in points] == sorted({one.deadline_ms for one in points})
        assert points[0].refined <= points[-1].refined
        assert all(one.refined <= DEV for one in points)


def test_the_tables_hold_every_figure_and_say_what_is_synthetic(report: Report) -> None:
    text = markdown(report)
    assert f"{report.model}, {DEV} photos" in text
    assert "SYNTHETIC" in text
    assert f"J a question ({report.energy_kind})" in text
    for title in ("one full-depth query", "naive merge, not calibrated", "calibrated merge (Reminisce)"):
        assert text.count(title) >= 2
    assert "none: all embedded when asked" in text
    blocks = [[line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")[1:]]
    assert [len(block) - 2 for block in blocks] == [5, 9, 11, len(report.cutoffs), 10, 3, len(report.curve)]
    for block in blocks:
        assert len({line.count(" | ") for line in block[:1] + block[2:]}) == 1


def test_json_holds_every_figure(report: Report) -> None:
    read = json.loads(as_json(report))
    assert len(read["found"]) == len(report.found)
    assert read["cutoffs"][0]["absences"][0].keys() == {"quantile", "cosine", "removed", "auroc", "false"}
    assert read["timings"][0]["kept"] == "full"
    assert read["curve"][0]["recall"].keys() == {"at_1", "at_5", "at_10"}


def test_the_picture_has_a_line_for_each_memory_and_cut(report: Report) -> None:
    root = ET.fromstring(svg(replace(report, model="a <model>")))  # noqa: S314 - our own
    thick = [one for one in root.iter("{http://www.w3.org/2000/svg}polyline") if one.get("stroke-width") == "2"]
    assert len(thick) == 4
    assert all(len(str(one.get("points")).split()) > 1 for one in thick)
    assert any("a <model>" in (text.text or "") for text in root.iter("{http://www.w3.org/2000/svg}text"))


def test_deadlines_lie_between_the_coarse_and_the_whole_answer() -> None:
    assert curves.SHARES[0] == 0
    assert 1 in curves.SHARES
    assert list(curves.SHARES) == sorted(curves.SHARES)
    assert percentiles([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.9))


def test_a_process_that_cannot_open_its_memory_says_why(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_text("this is no database, and has been here before")
    job = Job(kept="full", folder=tmp_path, bundle=bundle.folder, config=Config(), shares=(1, 1, 1, 1), photos=1)
    with pytest.raises(StoreError, match="file is not a database"):
        visit.visit(visit.Visit(job, ["a dog"], [], None))


def test_a_process_that_dies_is_named(bundle: Bundle, tmp_path: Path) -> None:
    job = Job(kept="mixed", folder=tmp_path, bundle=bundle.folder, config=Config(), shares=(1, 1, 1, 1), photos=1)
    with pytest.raises(WorkerError, match="the process of memory mixed ended before its work"):
        visit.visit(visit.Visit(job, [], [], None))  # nothing to ask: a mistake of the caller's, told by a traceback


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sizes", "1000,100"], "must be rising numbers of items, 10 or more"),
        (["--sizes", "1000,many"], "must be rising numbers of items, 10 or more"),
        (["--sizes", "5"], "must be rising numbers of items, 10 or more"),
        (["--questions", "0"], "must be a number, 1 or more"),
    ],
)
def test_sizes_and_counts_that_cannot_be_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "recall", "--data", "nowhere", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_data_that_is_not_there_is_said_in_one_line(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "recall", "--bundle", str(bundle.folder), "--data", "nowhere"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(r"nowhere/Flickr8k\.token\.txt cannot be read", err)
