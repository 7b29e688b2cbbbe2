"""Who carries the tour's messages: mosquitto, else the embedded broker, else an error; wherever its files lie."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from commands import finish, start
from edge.demo.tour import QUESTIONS
from processes import see_that_nothing_is_left_in
from waiting import wait_until

COMMAND = "from edge.cli import main; sys.exit(main(sys.argv[1:]))"
WITHOUT_MOSQUITTO = f"import shutil, sys; shutil.which = lambda *_, **__: None; {COMMAND}"
WITHOUT_ANY = (
    f"import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: n != 'amqtt' and f(n); {WITHOUT_MOSQUITTO}"
)
EMBEDDED = "broker: the embedded broker (MQTT 3.1.1)"
needs_amqtt = pytest.mark.skipif(not find_spec("amqtt"), reason="no amqtt: pip install '.[broker]'")


@needs_amqtt
def test_embedded_broker_carries_the_whole_tour_where_there_is_no_mosquitto(
    tour: Callable[..., Any], pictures: list[Path]
) -> None:
    finished = tour(program=("-c", WITHOUT_MOSQUITTO))
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.splitlines()[1] == EMBEDDED
    assert f"remembered {len(pictures)} pictures in " in finished.out
    assert len(re.findall(r"^  1\. \S+\.jpg ", finished.out, re.MULTILINE)) == len(QUESTIONS)


@needs_amqtt
def test_interrupted_tour_ends_its_embedded_broker_too(tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    process = start("demo", here=tmp_path, environ={"TMPDIR": str(temporary)}, program=("-c", WITHOUT_MOSQUITTO))
    wait_until(lambda: list(temporary.glob("*/state/content/*/*")), "a picture in the memory")
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    see_that_nothing_is_left_in(temporary)


def test_without_any_broker_the_tour_says_what_to_install(tour: Callable[..., Any], album: Path) -> None:
    finished = tour("--photos", album, program=("-c", WITHOUT_ANY))
    said = "there is no MQTT broker: run `sudo apt install mosquitto`, or `pip install 'reminisce-edge[broker]'`"
    assert finished.code == 1
    assert finished.err.splitlines()[-1] == f"reminisce: {said}"
    assert finished.out == ""


def test_broker_that_does_not_start_is_an_error_with_its_last_words(
    tour: Callable[..., Any], album: Path, tmp_path: Path
) -> None:
    broker = tmp_path / "bin" / "mosquitto"
    broker.parent.mkdir()
    broker.write_text("#!/bin/sh\necho 'Error: no more sockets'\nexit 3\n", encoding="utf-8")
    broker.chmod(0o755)
    finished = tour("--photos", album, environ={"PATH": f"{broker.parent}{os.pathsep}{os.environ['PATH']}"})
    assert finished.code == 1
    assert finished.err.endswith("\nreminisce: the broker ended: Error: no more sockets\n")


# A path of a Unix socket has 107 bytes at most; mosquitto's configuration ends a path at a space.
@pytest.mark.parametrize("name", [b"x" * 150, b"a space", b"\xe9\x80"], ids=["long", "space", "bytes"])
def test_tour_works_wherever_temporary_files_lie(
    name: bytes, tour: Callable[..., Any], album: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / os.fsdecode(name)
    temporary.mkdir()
    finished = tour("--photos", album, temporary=temporary)
    assert finished.code == 1  # one of the album's pictures is broken
    assert finished.out.splitlines()[1] == "broker: mosquitto"
    assert "remembered 3 pictures in " in finished.out


def test_no_room_for_temporary_files_is_an_error_that_names_the_variable(album: Path, tmp_path: Path) -> None:
    code = (
        f"import sys, tempfile; tempfile._candidate_tempdir_list = lambda: [{str(tmp_path / 'missing')!r}]; {COMMAND}"
    )
    done = finish(start("demo", "--photos", album, here=tmp_path, program=("-c", code)))
    assert done.code == 1
    assert "\nreminisce: no temporary folder can be made (" in done.err
    assert done.err.endswith("): set TMPDIR to one with room\n")


def test_modules_in_the_folder_of_the_user_are_not_run(album: Path, tmp_path: Path) -> None:
    (here := tmp_path / "here").mkdir()
    for name in ("edge.py", "queue.py"):
        (here / name).write_text("raise SystemExit('the folder of the user')", encoding="utf-8")
    (album / "half.jpg").unlink()
    as_installed = f"import sys; del sys.path[0]; {COMMAND}"  # the console script does not look there, either
    done = finish(start("demo", "--photos", album, here=here, program=("-c", as_installed)))
    assert done.code == 0
    assert "remembered 3 pictures in " in done.out


def test_picture_whose_name_is_no_utf8_is_remembered_and_shown(tour: Callable[..., Any], album: Path) -> None:
    (album / "half.jpg").unlink()
    shutil.move(album / "one.jpg", album / os.fsdecode(b"caf\xe9.jpg"))
    finished = tour("--photos", album)
    assert finished.code == 0
    assert "  caf" in finished.out.replace(". caf", ".  caf")
    assert r"caf\udce9.jpg" in (finished.here / "reminisce-demo.html").read_text(encoding="utf-8")
