"""A build that a signal, a full disk or another build stops can be run again, and goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builds import STAGES, SmallBuild, kept, names_in
from commands import finish
from disks import Disk

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

pytestmark = [pytest.mark.convert, pytest.mark.slow]


def test_finished_build_says_its_steps_what_it_made_and_leaves_only_what_is_finished(build: SmallBuild) -> None:
    done = build.run()
    assert done.code == 0
    lines = done.err.splitlines()
    steps = [line for line in lines if line[1:3] == "/4"]
    labels = ["1/4 open the towers", "2/4 heal the towers", "3/4 learn to predict", "4/4 pack"]
    assert [line.rpartition(" ...")[0] for line in steps[::2]] == labels
    assert [line.rpartition(": ")[0] for line in steps[1::2]] == labels
    assert done.out.startswith(f"{build.out}/bundle: ")
    assert names_in(build.out) == [".reminisce-convert", "bundle", "stages"]
    assert names_in(build.out / "stages") == sorted(STAGES)
    assert names_in(build.out / "stages" / "heal") == ["done.json", *(f"window-{n}.npz" for n in range(3))]


def test_done_file_gives_every_input_in_full_and_when_it_ended(build: SmallBuild) -> None:
    assert build.run("--seed", "7").code == 0
    towers, heal = (json.loads((build.out / "stages" / name / "done.json").read_bytes()) for name in ("towers", "heal"))
    assert towers["inputs"]["recipe.seed"] == "7"
    assert towers["inputs"]["recipe.item.exits"] == "[11]"
    assert towers["inputs"]["given.data"] == "none"
    assert heal["inputs"]["recipe.heal.rank"] == "16"
    assert set(heal["inputs"]) > {"after.towers", "version.torch", "version.numpy", "version.python"}
    assert not any(name.startswith("recipe.query") for name in heal["inputs"])
    assert set(heal["files"]) == {f"window-{number}.npz" for number in range(3)}
    ended = time.mktime(time.strptime(heal["ended"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(ended - time.time()) < 60
    assert heal["seconds"] >= 0


def test_second_run_keeps_every_stage_and_touches_no_file(build: SmallBuild) -> None:
    build.run()
    times = {path: path.stat().st_mtime_ns for path in build.out.rglob("*") if path.parent != build.out}
    done = build.run()
    assert (done.code, kept(done)) == (0, list(STAGES))
    assert {path: path.stat().st_mtime_ns for path in build.out.rglob("*") if path.parent != build.out} == times


def test_two_builds_by_one_seed_are_equal_byte_for_byte_and_another_seed_differs(build: SmallBuild) -> None:
    other, third = (replace(build, out=build.out.with_name(name)) for name in ("other", "third"))
    assert (build.run().code, other.run().code, third.run("--seed", "1").code) == (0, 0, 0)
    assert build.files() == other.files()
    assert build.files() != third.files()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_within_a_stage_is_one_line_on_what_is_kept_and_the_same_command_goes_on(
    build: SmallBuild, number: int
) -> None:
    ended = build.ended_by(number, hold="predict")
    assert ended.code in (130, -number)
    assert ended.err.splitlines()[-1] == (
        f"reminisce-convert: interrupted; towers, heal kept in {build.out}, the same command goes on from there"
    )
    assert names_in(build.out / "stages") == [".predict", "heal", "towers"]
    done = build.run()
    assert (done.code, kept(done)) == (0, ["towers", "heal"])
    assert names_in(build.out / "stages") == sorted(STAGES)


def test_signal_within_the_first_stage_says_that_nothing_is_finished(build: SmallBuild) -> None:
    ended = build.ended_by(signal.SIGINT, hold="towers")
    assert ended.err.splitlines()[-1] == (
        f"reminisce-convert: interrupted; no stage is finished in {build.out}, the same command begins again"
    )
    assert kept(build.run()) == []


def test_stage_that_resumes_keeps_its_finished_parts(build: SmallBuild) -> None:
    ended = build.ended_by(signal.SIGTERM, hold="heal:1")
    assert "towers, the parts of heal kept in" in ended.err.splitlines()[-1]
    done = build.run()
    told = [line for line in done.err.splitlines() if line.startswith("window ")]
    assert told == ["window 0 kept", "window 1 kept", "window 2 healed"]


@pytest.mark.parametrize("hold", ["towers", "heal:0", "heal:2", "predict", "pack"])
def test_killed_build_goes_on_and_ends_as_one_that_was_never_killed(build: SmallBuild, hold: str) -> None:
    whole = replace(build, out=build.out.with_name("whole"))
    assert whole.run().code == 0
    assert build.ended_by(signal.SIGKILL, hold=hold).code == -signal.SIGKILL
    done = build.run()
    stage = hold.partition(":")[0]
    assert (done.code, kept(done)) == (0, list(STAGES[: STAGES.index(stage)]))
    assert build.files() == whole.files()


def test_parts_of_other_inputs_are_not_resumed(build: SmallBuild) -> None:
    build.ended_by(signal.SIGKILL, hold="heal:1")
    build.change("rank: 16", "rank: 8")
    assert "window 0 healed" in build.run().err


def test_half_written_part_of_a_killed_build_is_not_taken_for_a_result(build: SmallBuild) -> None:
    build.ended_by(signal.SIGKILL, hold="heal:1")
    (build.out / "stages" / ".heal" / ".window-2.npz.part").write_bytes(b"half")
    build.run()
    assert names_in(build.out / "stages" / "heal") == ["done.json", *(f"window-{n}.npz" for n in range(3))]


def test_interrupted_redoing_keeps_the_earlier_result_for_whoever_changes_the_recipe_back(build: SmallBuild) -> None:
    build.run()
    build.change("rank: 16", "rank: 8")
    build.ended_by(signal.SIGINT, hold="heal:0")
    build.change("rank: 8", "rank: 16")
    assert kept(build.run()) == list(STAGES)


@pytest.mark.parametrize("moment", ["before the old one is moved away", "before the new one is moved there"])
def test_build_that_was_killed_between_two_moves_of_a_finished_stage_ends_them(build: SmallBuild, moment: str) -> None:
    build.run()
    shelf = build.out / "stages"
    shutil.copytree(shelf / "heal", shelf / ".heal")
    if moment == "before the new one is moved there":
        (shelf / "heal").rename(shelf / ".heal.old")
    assert kept(build.run()) == list(STAGES)
    assert names_in(shelf) == sorted(STAGES)


def test_second_build_in_one_folder_is_refused_while_the_first_one_runs(build: SmallBuild) -> None:
    first = build.start(HOLD="heal:0")
    assert first.stderr
    while b"holding" not in first.stderr.readline():
        pass
    second = build.run()
    assert second.code == 2
    assert second.err == (
        f"reminisce-convert: {build.out} is in use by process {first.pid}: wait until it ends,"
        " or choose another folder with --out\n"
    )
    first.kill()
    finish(first)
    assert build.run().code == 0


def test_folder_of_somebody_else_is_refused_and_kept(build: SmallBuild) -> None:
    build.out.mkdir()
    (build.out / "thesis.tex").write_text("mine", encoding="utf-8")
    done = build.run()
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"reminisce-convert: {build.out} holds files that reminisce-convert did not make:"
        " choose a new or empty folder with --out\n"
    )
    assert names_in(build.out) == ["thesis.tex"]


def test_file_that_somebody_puts_into_the_folder_stays(build: SmallBuild) -> None:
    build.run()
    (build.out / "notes.txt").write_text("mine", encoding="utf-8")
    (build.out / "stages" / "notes.txt").write_text("mine", encoding="utf-8")
    build.change("rank: 16", "rank: 8")
    assert build.run().code == 0
    assert (build.out / "notes.txt").is_file()
    assert (build.out / "stages" / "notes.txt").is_file()


def test_disk_without_room_is_told_before_the_work(build: SmallBuild, disk: Disk) -> None:
    done = replace(build, out=disk.folder / "out").run()
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        f"reminisce-convert: the disk of {disk.folder}/out has 67 MB free, a build needs 100: free some space"
    )


def test_disk_that_fills_within_a_stage_is_one_line_and_the_same_command_goes_on(build: SmallBuild, disk: Disk) -> None:
    disk.resize(200 << 20)
    small = replace(build, out=disk.folder / "out")
    done = small.run(FILL="heal:0", BALLAST=str(disk.folder / "ballast"))
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        f"reminisce-convert: the disk of {small.out} is full; towers, the parts of heal kept in {small.out},"
        " the same command goes on from there once there is room"
    )
    assert names_in(small.out / "stages" / ".heal") == ["inputs.json", "window-0.npz"]
    disk.make_room()
    done = small.run()
    assert (done.code, kept(done)) == (0, ["towers"])
    assert "window 0 kept" in done.err


def test_read_only_place_is_refused_with_the_reason(build: SmallBuild) -> None:
    done = replace(build, out=Path("/proc/out")).run()
    assert done.code == 2
    assert done.err == "reminisce-convert: /proc/out cannot be written: No such file or directory\n"


def test_child_of_a_shell_in_the_background_does_not_stop_on_its_ctrl_c(build: SmallBuild) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = build.start(HOLD="towers")
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stderr
    while b"holding" not in process.stderr.readline():
        pass
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    assert finish(process).code == 130
