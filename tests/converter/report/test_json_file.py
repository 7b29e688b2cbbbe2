"""report.json says exactly what was written, and a damaged one is refused with file and key."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="needs the host tools: make convert-env")

from converter.report import REPORT_JSON, HealingWindow, LossPoint, Recall, read_report, thinned, write_report
from converter.report.json_file import write_json
from edge.errors import UsageError
from reports import bare_report, full_report

pytestmark = pytest.mark.convert


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / REPORT_JSON
    write_json(full_report(), path)
    return path


def damage(file: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the file's data, and give what reading it is refused with."""
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_report(file)
    return str(caught.value)


@pytest.mark.parametrize("report", [full_report(), full_report(7), bare_report()])
def test_what_is_read_equals_what_was_written(tmp_path: Path, report: Any) -> None:
    write_json(report, tmp_path / "some.json")
    assert read_report(tmp_path / "some.json") == report


def test_a_folder_that_a_build_wrote_is_read_by_its_name(tmp_path: Path) -> None:
    write_report(full_report(), tmp_path / "new" / "out")
    assert read_report(tmp_path / "new" / "out") == full_report()
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["report.html", "report.json"]


def test_keys_are_sorted_and_the_schema_is_said(file: Path) -> None:
    data = json.loads(file.read_text(encoding="utf-8"))
    assert list(data) == sorted(data)
    assert list(data["exits"][0]["raw"]) == ["at_1", "at_10", "at_5"]
    assert data["schema"] == 1


def test_writing_twice_gives_the_same_bytes(file: Path) -> None:
    first = file.read_bytes()
    write_json(full_report(), file)
    assert file.read_bytes() == first


def test_a_number_that_is_none_is_never_written_and_the_old_file_stays(file: Path) -> None:
    first = file.read_bytes()
    window = HealingWindow(first=1, last=3, seconds=1.0, losses=(LossPoint(step=1, loss=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(full_report(healing=(window,)), file)
    assert file.read_bytes() == first


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = file.read_bytes()

    def no_room(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_json(full_report(3), file)
    assert [path.name for path in file.parent.iterdir()] == [REPORT_JSON]
    assert file.read_bytes() == first


def test_a_number_that_became_a_text_is_named_with_file_key_and_what_to_do(file: Path) -> None:
    said = damage(file, lambda data: data["exits"][2].update(ms="fast"))
    assert said.splitlines() == [
        f"{file}: exits[2].ms is 'fast': must be a number",
        f"{file}: make it again with `reminisce-convert run`",
    ]


def test_a_missing_key_and_an_unknown_one_are_both_told(file: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["machine"]["core"] = data["machine"].pop("cores")

    said = damage(file, change)
    assert f"{file}: machine.core is not a key. Did you mean machine.cores?" in said
    assert f"{file}: machine.cores is missing" in said


def test_a_later_schema_is_refused(file: Path) -> None:
    assert f"{file}: schema is 2: must be one of 1" in damage(file, lambda data: data.update(schema=2))


def test_an_unknown_policy_is_refused_with_those_there_are(file: Path) -> None:
    said = damage(file, lambda data: data["policies"][1].update(name="psychic"))
    assert "policies[1].name is 'psychic': must be one of fixed, predict, gate, gate+neighbours, random, oracle" in said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data["exits"].pop(), r"exit depths \[3, 4, 5, 6, 7, 9\] must rise and end at the last layer"),
        (lambda data: data["exits"].reverse(), r"exit depths \[12, 9, .*must rise"),
        (lambda data: data["exits"][0].update(depth=13), r"exits\[0\]: depth is 13: must be 1 to layers, which is 12"),
        (
            lambda data: data["exits"][0].update(ms=0),
            r"exits\[0\]: share is 0.26, ms 0.0 and float32_ms .*: must be above 0",
        ),
        (lambda data: data["policies"].append(data["policies"][0]), "policies are .*: must be each once"),
        (lambda data: data["policies"][0]["points"][0]["exits"].pop(), "must have one share for each of 7 exits"),
        (lambda data: data["exits"][0]["raw"].update(at_1=0.9), r"exits\[0\]\.raw: recall is 0.9, .*must rise"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(file: Path, change: Any, problem: str) -> None:
    assert re.search(problem, damage(file, change))


def test_half_a_file_is_called_damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UsageError, match=rf"{file} is damaged: .*; make it again with `reminisce-convert run`"):
        read_report(file)


def test_not_a_number_in_a_file_is_called_damaged(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace('"ece": 0.0047', '"ece": NaN'), encoding="utf-8")
    with pytest.raises(UsageError, match=r"report\.json is damaged: it holds NaN, which is no number"):
        read_report(file)


def test_a_folder_without_a_report_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"report\.json cannot be read: No such file .*name a folder that a build"):
        read_report(tmp_path)


def test_recall_must_rise_with_the_number_of_answers() -> None:
    with pytest.raises(ValueError, match=r"recall is 0\.5, 0\.4, 0\.6: must rise within 0 to 1"):
        Recall(at_1=0.5, at_5=0.4, at_10=0.6)


def test_a_long_loss_becomes_means_of_equal_stretches() -> None:
    assert thinned([4.0, 2.0, 3.0, 1.0], points=2) == (LossPoint(step=2, loss=3.0), LossPoint(step=4, loss=2.0))
    long = thinned([float(step) for step in range(1000)])
    assert len(long) == 60
    assert long[-1].step == 1000
    assert {16, 17} >= {after.step - before.step for before, after in itertools.pairwise(long)}


def test_a_short_loss_stays_as_it_is() -> None:
    assert thinned([2.0, 1.0]) == (LossPoint(step=1, loss=2.0), LossPoint(step=2, loss=1.0))
    assert thinned([]) == ()


def test_reports_are_never_changed_after_they_were_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        full_report().seed = 1  # type: ignore[misc]
