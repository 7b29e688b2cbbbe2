"""`reminisce add`: which files it takes, what it says of each, and that nothing is sent that is there already."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Mosquitto
from commands import Finished, run
from daemons import Daemon
from onlooker import Onlooker
from programs import program

SUFFIXES = ".bmp, .gif, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp"


@pytest.fixture
def wire(mosquitto: Mosquitto) -> Iterator[Onlooker]:
    """Everything that is sent to the device."""
    with Onlooker(mosquitto.port, topics="reminisce/dev1/ingest/#") as wire:
        yield wire


@pytest.fixture
def album(pictures: list[Path], tmp_path: Path) -> Path:
    """A user's folder: two pictures, one below, and two other files."""
    folder = tmp_path / "album"
    (folder / "2025" / "may").mkdir(parents=True)
    shutil.copy(pictures[0], folder / "one.jpg")
    shutil.copy(pictures[1], folder / "two.JPEG")
    shutil.copy(pictures[2], folder / "2025" / "may" / "three.jpg")
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    (folder / "film.mp4").touch()
    return folder


def add(daemon: Daemon, *arguments: str | Path, **options: object) -> Finished:
    return run("add", "--config", daemon.config_file, *arguments, **options)


def sent_contents(wire: Onlooker) -> list[bytes]:
    return [one.payload for one in wire.on("reminisce/dev1/ingest/raw/image")]


def test_folder_is_added_with_everything_below_and_can_be_asked_for_at_once(daemon: Daemon, album: Path) -> None:
    done = add(daemon, album)
    assert (done.code, done.out) == (0, "3 accepted\n")
    assert done.err == "files of other kinds are left out (1 .mp4, 1 .txt)\n"
    found = json.loads(run("ask", "--config", daemon.config_file, "--json", "a house").out)["results"]
    assert {result["source"] for result in found} == {
        str(album / name) for name in ("one.jpg", "two.JPEG", "2025/may/three.jpg")
    }


def test_json_is_an_object_a_file_and_the_counts(daemon: Daemon, album: Path) -> None:
    done = add(daemon, "--json", album, album / "one.jpg")
    assert done.code == 0
    *files, counts = done.objects
    assert counts == {"accepted": 3, "duplicate": 0, "rejected": 0, "embedding": 0}
    assert {one["file"] for one in files} == {
        str(album / name) for name in ("one.jpg", "two.JPEG", "2025/may/three.jpg")
    }
    for one in files:
        assert one.keys() == {"file", "state", "item"}
        assert one["state"] == "accepted"
        assert one["item"] == hashlib.sha256(Path(one["file"]).read_bytes()).hexdigest()


def test_second_run_finds_all_there_and_sends_nothing_again(daemon: Daemon, album: Path, wire: Onlooker) -> None:
    add(daemon, album)
    contents = sent_contents(wire)
    assert sorted(contents) == sorted(path.read_bytes() for path in album.rglob("*.[jJ]*"))
    asked = len(wire.heard)
    done = add(daemon, album)
    assert (done.code, done.out) == (0, "3 there already\n")
    assert sent_contents(wire) == contents
    again = wire.heard[asked:]
    assert len(again) == 3
    assert all(one.fields.keys() == {"v", "id", "sha256"} for one in again)


def test_same_content_is_one_item_and_sent_once(daemon: Daemon, album: Path, wire: Onlooker) -> None:
    for number in range(3):
        shutil.copy(album / "one.jpg", album / f"copy-{number}.jpg")
    done = add(daemon, "--json", album)
    assert done.objects[-1] == {"accepted": 3, "duplicate": 3, "rejected": 0, "embedding": 0}
    states = {Path(one["file"]).name: one["state"] for one in done.objects[:-1]}
    assert len(states) == 6  # each file under its own name
    alike = [states[name] for name in ("one.jpg", "copy-0.jpg", "copy-1.jpg", "copy-2.jpg")]
    assert sorted(alike) == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert len(sent_contents(wire)) == 3


def test_half_copied_picture_is_rejected_with_its_reason_and_not_sent_again(
    daemon: Daemon, album: Path, wire: Onlooker
) -> None:
    half = album / "half.jpg"
    half.write_bytes((album / "one.jpg").read_bytes()[:4000])
    reason = r"not a picture that can be read \(image file is truncated \(\d+ bytes not processed\)\): convert it to .*"
    for counts in ("3 accepted, 1 rejected\n", "3 there already, 1 rejected\n"):
        done = add(daemon, album)
        assert (done.code, done.out) == (1, counts)
        assert re.fullmatch(rf"{re.escape(str(half))}: {reason}", done.err.splitlines()[-1])
    assert len(sent_contents(wire)) == 4


def test_file_that_is_no_picture_is_rejected_with_what_to_do(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("Dear diary", encoding="utf-8")  # named on the command line, it is tried
    (tmp_path / "empty.jpg").touch()
    done = add(daemon, "--json", tmp_path / "diary", tmp_path / "empty.jpg")
    assert done.code == 1
    assert done.objects[-1] == {"accepted": 0, "duplicate": 0, "rejected": 2, "embedding": 0}
    reasons = {Path(one["file"]).name: one["reason"] for one in done.objects[:-1]}
    assert reasons["diary"].startswith("not a picture of a known kind (JPEG, PNG, ")
    assert reasons["empty.jpg"] == "the file is empty"


def test_unreadable_file_is_rejected_with_its_reason_and_the_others_are_taken(daemon: Daemon, album: Path) -> None:
    (album / "one.jpg").chmod(0)
    powerless = [program("setpriv", "util-linux"), "--bounding-set", "-dac_override,-dac_read_search"]
    done = add(daemon, album, below=powerless if os.geteuid() == 0 else ())
    assert (done.code, done.out) == (1, "2 accepted, 1 rejected\n")
    assert done.err.splitlines()[-1] == f"{album / 'one.jpg'}: cannot be read: Permission denied"


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"two\nlines\x1b[31m\x7f.jpg", "狗 🐕.jpg".encode()])
def test_picture_of_any_name_is_added_and_found_under_a_printable_one(
    name: bytes, daemon: Daemon, pictures: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / os.fsdecode(name)
    shutil.copy(pictures[0], file)
    done = add(daemon, "--json", file)
    assert (done.code, done.objects[0]["state"]) == (0, "accepted")
    assert done.objects[0]["file"].encode() == os.fsencode(tmp_path) + b"/" + name.replace(b"\xe9", rb"\xe9")
    answer = run("ask", "--config", daemon.config_file, "a house").out.splitlines()[0]
    assert answer.isprintable()
    assert answer.startswith(f"1. {tmp_path}/")


def test_reason_is_told_under_a_printable_name(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xe9\n\x1b[31m.jpg")
    file.write_text("no picture", encoding="utf-8")
    done = add(daemon, file)
    assert done.code == 1
    assert done.err.startswith(rf"{tmp_path}/\xe9\n\x1b[31m.jpg: not a picture of a known kind (")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jpg"], "reminisce: missing.jpg is not there: name a picture or a folder of pictures\n"),
        (["one.jpg", "missing"], "reminisce: missing is not there: name a picture or a folder of pictures\n"),
        (["nothing"], f"reminisce: nothing holds no pictures ({SUFFIXES})\n"),
        ([], "reminisce add: error: the following arguments are required: PATH\n"),
    ],
)
def test_paths_that_make_no_sense_are_refused_before_anything_is_sent(
    arguments: list[str], said: str, album: Path
) -> None:
    (album / "nothing").mkdir()
    (album / "nothing" / "notes.txt").touch()
    done = run("add", *arguments, here=album)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(said)
