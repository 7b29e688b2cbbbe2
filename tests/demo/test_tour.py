"""`python -m edge demo`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import finish, start
from edge.bundle import Bundle
from edge.config import DEMO_BUNDLE
from edge.demo.tour import QUESTIONS
from edge.runtime import choose_runtime
from processes import see_that_nothing_is_left_in

SHEET = "reminisce-demo.html"
SUFFIXES = ".bmp, .gif, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp"
HALF_COPIED = "not a picture that can be read (image file is truncated"


@pytest.fixture(scope="module")
def shipped(tour: Callable[..., Any]) -> Any:
    """The tour of the shipped pictures."""
    return tour()


def remembered(count: int, more: str = "") -> re.Pattern[str]:
    return re.compile(rf"^remembered {count} pictures in \d+\.\d s, \d+ ms a file{more}$", re.MULTILINE)


def test_tour_of_the_shipped_pictures_ends_with_0(shipped: Any) -> None:
    assert (shipped.code, shipped.err) == (0, "")


def test_tour_says_which_model_runs_where_and_who_carries_its_messages(shipped: Any) -> None:
    first, second = shipped.out.splitlines()[:2]
    assert re.fullmatch(rf"model demo-\S+ \(for evaluation\) on {choose_runtime('auto')}, 2 threads", first)
    assert second == "broker: mosquitto"


def test_tour_says_how_many_pictures_it_remembered_and_how_fast(shipped: Any, pictures: list[Path]) -> None:
    assert remembered(len(pictures)).search(shipped.out)


def test_each_question_is_answered_with_scores_exits_and_milliseconds(shipped: Any, pictures: list[Path]) -> None:
    names = {path.name for path in pictures}
    answers = re.split(r"^“", shipped.out, flags=re.MULTILINE)[1:]
    assert len(answers) == len(QUESTIONS)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        header, *lines = answer.strip().splitlines()[:6]
        spent = rf"\d+ ms: \d+ for the text, \d+\.\d to search {len(pictures)}, \d+ to finish 50"
        assert re.fullmatch(rf"{re.escape(question)}”  {spent}", header)
        assert len(lines) == 5
        likely = []
        for rank, line in enumerate(lines, 1):
            hit = re.fullmatch(rf"  {rank}\. (\S+) +relevance +(\d+\.\d) %, score -?\d\.\d\d, exit at depth \d+", line)
            assert hit
            assert hit[1] in names
            likely.append(float(hit[2]))
        assert likely == sorted(likely, reverse=True)


def test_tour_without_a_keyboard_asks_for_nothing(shipped: Any) -> None:
    assert "Ask something" not in shipped.out


def test_tour_leaves_nothing_but_its_sheet(shipped: Any) -> None:
    assert shipped.out.endswith(f"\nAll answers with pictures: {SHEET}\n")
    assert [path.name for path in shipped.here.iterdir()] == [SHEET]


def test_broken_picture_is_named_with_its_reason_and_the_tour_goes_on(tour: Callable[..., Any], album: Path) -> None:
    finished = tour("--photos", album)
    assert finished.code == 1
    assert f"{album / 'half.jpg'}: {HALF_COPIED}" in finished.err
    assert remembered(3, ", 1 refused").search(finished.out)
    assert (finished.here / SHEET).is_file()


def test_pictures_of_the_same_content_are_counted(tour: Callable[..., Any], album: Path) -> None:
    (album / "half.jpg").unlink()
    shutil.copy(album / "one.jpg", album / "another.jpg")
    finished = tour("--photos", album)
    assert finished.code == 0
    assert remembered(3, ", 1 of the same content").search(finished.out)


def test_only_broken_pictures_is_a_failure(tour: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("one.jpg", "two.png"):
        (tmp_path / name).write_text("Dear diary", encoding="utf-8")
    finished = tour("--photos", tmp_path)
    assert finished.code == 1
    for name in ("one.jpg", "two.png"):
        assert f"{tmp_path / name}: not a picture of a known kind (" in finished.err
    assert finished.err.endswith("\nreminisce: none of the pictures could be remembered\n")
    assert list(finished.here.iterdir()) == []


def test_folder_without_pictures_is_refused_with_what_counts_as_one(tour: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.jpg").mkdir()
    finished = tour("--photos", tmp_path)
    assert finished.code == 2
    assert finished.err == f"reminisce: {tmp_path} holds no pictures ({SUFFIXES})\n"
    assert finished.out == ""


@pytest.mark.parametrize("name", ["missing", "notes.txt"])
def test_photos_that_are_no_folder_are_refused(name: str, tour: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    finished = tour("--photos", tmp_path / name)
    assert finished.code == 2
    assert finished.err == f"reminisce: {tmp_path / name} is not a folder: give one that holds pictures\n"


@pytest.mark.parametrize("where", ["missing/sheet.html", ""])
def test_sheet_that_cannot_be_written_is_refused_before_the_work_is_done(
    where: str, tour: Callable[..., Any], album: Path, tmp_path: Path
) -> None:
    finished = tour("--photos", album, "--sheet", tmp_path / where)
    assert finished.code == 2
    sentence = "cannot be written: name a file in an existing folder with --sheet\n"
    assert finished.err.endswith(f"reminisce: {tmp_path / where} {sentence}")
    assert "remembered" not in finished.out


def test_reader_that_has_seen_enough_ends_the_tour_in_silence(album: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for name in ("half.jpg", "notes.txt"):
        (album / name).unlink()
    tour = start("demo", "--photos", album, here=tmp_path, environ={"TMPDIR": str(temporary)})
    assert tour.stdout
    assert tour.stdout.readline().startswith(b"model ")
    tour.stdout.close()  # as `head -1` does
    tour.stdout = None
    done = finish(tour)
    assert (done.code, done.err) == (1, "")
    see_that_nothing_is_left_in(temporary)


def test_json_is_an_object_an_answer_and_nothing_else(tour: Callable[..., Any], album: Path) -> None:
    finished = tour("--photos", album, "--json")
    answers = [json.loads(line) for line in finished.out.splitlines()]
    assert [answer["question"] for answer in answers] == list(QUESTIONS)
    for answer in answers:
        assert answer.keys() == {"question", "took_ms", "results"}
        assert {Path(result["file"]).name for result in answer["results"]} == {"one.jpg", "two.JPEG", "three.jpg"}
        assert all(result.keys() == {"file", "score", "relevance", "exit_depth"} for result in answer["results"])
        assert all(-1 <= result["score"] <= 1 for result in answer["results"])
        likely = [result["relevance"] for result in answer["results"]]
        assert 1 >= likely[0] >= likely[1] >= likely[2] >= 0


def test_settings_of_the_config_are_used(
    tour: Callable[..., Any], tmp_path: Path, bundle: Bundle, pictures: list[Path]
) -> None:
    last = bundle.manifest.tower("image").exits[-1].depth
    file = tmp_path / "config.yaml"
    file.write_text(
        f"runtime: {{threads: 1}}\nremember: {{exit_depth: {last}, batch: 4}}\nrecall: {{pool: 0, limit: 2}}\n",
        encoding="utf-8",
    )
    finished = tour("--config", file, "--sheet", tmp_path / "sheet.html")
    assert finished.code == 0
    assert ", 1 thread\n" in finished.out.splitlines(keepends=True)[0]
    questions = re.findall(rf"\d+\.\d to search {len(pictures)}, \d+ to finish 0$", finished.out, re.MULTILINE)
    answers = re.findall(rf"^  ([12])\. .+, exit at depth {last}$", finished.out, re.MULTILINE)
    assert answers == ["1", "2"] * len(questions)
    assert len(questions) == len(QUESTIONS)


def test_bundle_is_found_from_the_folder_of_the_user(album: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(DEMO_BUNDLE)
    (tmp_path / "config.yaml").write_text("bundle: model", encoding="utf-8")
    (album / "half.jpg").unlink()
    done = finish(start("demo", "--config", "config.yaml", "--photos", "album", here=tmp_path))
    assert done.code == 0
    assert "\nremembered 3 pictures in " in done.out
