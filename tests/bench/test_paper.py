"""`reminisce bench paper`: the paper's own ratios, ours beside them, and files that are none of ours."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edge.bench.paper import PAPER, Here, markdown, read
from edge.bench.recall.baselines import Way
from edge.bench.recall.device import Kept
from edge.bench.recall.figures import Found, Memories, Point, Timing
from edge.bench.recall.figures import Report as Recalled
from edge.bench.recall.judging import Recall as Ranks
from edge.bench.remember.figures import Ratio, RowFigures
from edge.bench.remember.figures import Report as Remembered
from edge.bench.remember.recalls import Recall
from edge.bench.remember.rows import FULL, ROWS, STREAMED_ALONE
from edge.cli.main import main

FULL_ROW = RowFigures(
    name=FULL, title="", items_per_s=160, to_full=Ratio(1.0, 1.0, 1.0), to_mem=Ratio(3.3, 3.0, 3.5), allowed=1.0,
    processor_ms=6, outside_share=0.02, energy_j=0.05, energy_kind="estimated", anonymous_mb=158, resident_mb=200,
    exits={12: 1.0}, recall=Recall(0.28, 0.7),
)  # fmt: skip
OURS = replace(
    FULL_ROW, to_full=Ratio(2.6, 2.5, 2.7), to_mem=Ratio(8.7, 8, 9), energy_j=0.02, recall=Recall(0.266, 0.7)
)

KEPT: tuple[Kept, ...] = ("first", "equal")
WAYS: tuple[tuple[Way, int, float], ...] = (("single", 0, 2.0), ("calibrated", 0, 3.0), ("calibrated", 50, 230.0))


@pytest.fixture
def remembered() -> Remembered:
    made = {
        FULL: FULL_ROW,
        STREAMED_ALONE: replace(FULL_ROW, energy_j=0.16),
        "reminisce": OURS,
        "reminisce-streamed": replace(OURS, to_mem=Ratio(6.76, 6, 7), anonymous_mb=117, energy_j=0.025),
    }
    rows = [replace(made.get(row.name, FULL_ROW), name=row.name) for row in ROWS]
    return Remembered(model="vit", items=1_000, overhead_only=False, said=("a date, a board",), rows=rows)


@pytest.fixture
def recalled() -> Recalled:
    full, coarse, middle, whole = (Ranks(value, value, value) for value in (0.3, 0.15, 0.27, 0.294))
    return Recalled(
        model="vit",
        photos=1_000,
        said=("a date, a board",),
        energy_kind="estimated",
        memories=[Memories(kept="default", exits={3: 0.5, 12: 0.5}, cost=0.6, same=1.0, fill_s=4.0)],
        found=[
            Found(kept="full", way="calibrated", pool=0, recall=full),
            Found(kept="default", way="calibrated", pool=0, recall=coarse),
            Found(kept="default", way="calibrated", pool=50, recall=whole),
        ],
        timings=[
            Timing(
                kept="default",
                way=way,
                pool=pool,
                items=1_000,
                p50_ms=ms,
                p95_ms=ms,
                device_ms=(ms, ms),
                energy_j=None,
            )
            for way, pool, ms in WAYS
        ],
        visits=[],
        curve=[Point(kept="default", deadline_ms=100, p50_ms=99.0, p95_ms=101.0, refined=15.0, recall=middle)],
    )


def cells(text: str, tower: str, what: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {tower} | {what}")]
    return line.strip("| ").split(" | ")[2:]


def test_ratios_of_the_paper_are_those_of_its_items_a_second(remembered: Remembered) -> None:
    text = markdown(Here("vit", remembered))
    assert cells(text, "image", "items/s, streamed")[:4] == ["22.4x", "6.8x", "2.0x", "4.4x"]
    assert cells(text, "image", "items/s, resident")[:4] == ["1.4x", "1.4x", "1.4x", "1.4x"]
    assert cells(text, "audio", "items/s, streamed")[:4] == ["45.1x", "8.1x", "3.3x", "3.1x"]
    assert cells(text, "motion", "items/s, resident")[:4] == ["5.4x", "5.4x", "5.3x", "5.3x"]


def test_ours_stand_in_the_last_column_of_the_image_tower_alone(remembered: Remembered, recalled: Recalled) -> None:
    text = markdown(Here("vit", remembered, (recalled,)))
    assert cells(text, "image", "of full depth's accuracy")[-1] == "95%"  # of the run whose speed stands below it
    assert cells(text, "image", "items/s, streamed")[-1] == "6.8x"
    assert cells(text, "image", "items/s, resident")[-1] == "2.6x"
    assert cells(text, "image", "memory")[-1] == "117 of 158 MB, anonymous"
    assert cells(text, "image", "joules to full depth")[-1] == "1/2.5, estimated"
    assert cells(text, "image", "joules to layer-streamed")[-1] == "1/6.4, estimated"
    assert cells(text, "image", "coarse answer") == ["1.22 s, 39%", "-", "-", "-", "0.003 s, 50%"]
    assert cells(text, "image", "by a deadline answer")[-1] == "0.099 s, 90%"
    assert cells(text, "image", "whole answer")[-1] == "0.230 s, 98%"
    for tower in ("audio", "motion"):
        lines = [line for line in text.splitlines() if line.startswith(f"| {tower} |")]
        assert len(lines) == 6
        assert all(line.endswith("| - |") for line in lines)


def test_what_was_not_measured_is_left_open(remembered: Remembered) -> None:
    without = markdown(Here("vit", None))
    assert cells(without, "image", "items/s, streamed")[-1] == "-"
    assert cells(without, "image", "whole answer")[-1] == "-"
    assert "bench remember, " not in without
    alone = markdown(Here("vit", remembered))
    assert cells(alone, "image", "whole answer")[-1] == "-"
    assert "- bench remember, a date, a board" in alone
    rows = [replace(row, recall=None) for row in remembered.rows]
    assert cells(markdown(Here("vit", replace(remembered, rows=rows))), "image", "of full depth's accuracy")[-1] == "-"


def test_accuracy_is_that_of_the_answers_where_no_speed_was_measured(recalled: Recalled) -> None:
    assert cells(markdown(Here("vit", None, (recalled,))), "image", "of full depth's accuracy")[-1] == "98%"


def test_joules_that_no_meter_knows_are_left_open(remembered: Remembered) -> None:
    rows = [replace(row, energy_j=None) for row in remembered.rows]
    assert cells(markdown(Here("vit", replace(remembered, rows=rows))), "image", "joules to full")[-1] == "-"


def with_full(run: Recalled, *, at: float, cost: float = 0.6) -> Recalled:
    """Another seed's: so much recall at full depth."""
    found = [replace(one, recall=Ranks(at, at, at)) if one.kept == "full" else one for one in run.found]
    return replace(run, found=found, memories=[replace(one, cost=cost) for one in run.memories])


def test_several_runs_of_a_model_are_summed_up_by_their_mean_and_each(recalled: Recalled) -> None:
    runs = (recalled, with_full(recalled, at=0.28, cost=0.5), with_full(recalled, at=0.32, cost=0.7))
    text = markdown(Here("vit", None, runs))
    assert "3 runs of vit" in text
    row = next(line for line in text.splitlines() if line.startswith("| default policy"))
    assert row.strip("| ").split(" | ")[1:] == [
        "60.0% (60.0 50.0 70.0)",
        "calibrated merge (Reminisce)",
        "0.150 (0.150 0.150 0.150)",
        "0.150 (0.150 0.150 0.150)",
        "0.294 (0.294 0.294 0.294)",
        "0.294 (0.294 0.294 0.294)",
        "98.3% (98.0 105.0 91.9)",
        "98.3% (98.0 105.0 91.9)",
    ]
    full = next(line for line in text.splitlines() if line.startswith("| full depth"))
    assert "0.300 (0.300 0.280 0.320)" in full
    assert cells(text, "image", "whole answer")[-1] == "0.230 s, 98%"  # of the first


def test_one_run_has_nothing_to_be_summed_up(recalled: Recalled) -> None:
    assert "runs of" not in markdown(Here("vit", None, (recalled,)))


def test_a_fixed_exit_that_not_every_run_has_is_left_out(recalled: Recalled) -> None:
    rows = [
        Found(kept=kept, way="calibrated", pool=pool, recall=Ranks(0.2, 0.2, 0.2)) for kept in KEPT for pool in (0, 50)
    ]
    exits = [replace(recalled.memories[0], kept=kept) for kept in KEPT]
    both = replace(recalled, found=[*recalled.found, *rows], memories=[*recalled.memories, *exits])
    one = replace(recalled, found=[*recalled.found, *rows[2:]], memories=[*recalled.memories, exits[1]])
    text = markdown(Here("vit", None, (both, one)))
    assert text.count("| all at the exit of like cost | 60.0% (60.0 60.0) | one exit, nothing to merge |") == 1
    assert "all at the first exit" not in text


def test_every_tower_of_the_paper_has_its_own_measure() -> None:
    assert [(paper.tower, paper.kept) for paper in PAPER] == [("image", 0.95), ("audio", 0.98), ("motion", 0.95)]


def test_files_are_told_apart_and_belong_together_by_their_model(
    tmp_path: Path, remembered: Remembered, recalled: Recalled, capsys: pytest.CaptureFixture[str]
) -> None:
    reports: dict[str, Remembered | Recalled] = {
        "one": remembered,
        "two": recalled,
        "three": replace(remembered, model="demo"),
        "four": with_full(recalled, at=0.28),
    }
    for name, report in reports.items():
        (tmp_path / name).write_text(json.dumps(asdict(report)))
    paths = [tmp_path / name for name in reports]
    both, alone = read(paths)
    assert both.remembered
    assert [run.full.at_1 for run in both.runs] == [0.3, 0.28]
    assert both.remembered.row(FULL).exits == {12: 1.0}
    assert (alone.model, alone.recalled) == ("demo", None)
    assert main(["bench", "paper", *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("| tower | what |") == 2
    assert "here: demo" in shown
    assert shown.count("2 runs of vit") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("| a table |", "is no JSON"),
        ("[]", "is not what `reminisce bench remember --save`"),
        ('{"model": "vit"}', "is not what `reminisce bench remember --save`"),
        ('{"found": 3}', "is not what `reminisce bench remember --save`"),
    ],
)
def test_a_file_that_is_none_of_ours_is_said_in_one_line(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "it.json").write_text(content)
    assert main(["bench", "paper", str(tmp_path / "it.json")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
