"""The help of every command: its options, its exit codes, and examples that work when they are typed."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import plain_mosquitto
from commands import ROOT, SECONDS, finish, run
from daemons import Daemon, reach
from edge import __version__
from edge.cli.arguments import make_parser
from programs import program

OPTIONS = {
    "add": {"--config", "--json", "--meta"},
    "ask": {
        "--all",
        "--config",
        "--html",
        "--json",
        "--like",
        "--limit",
        "--meta",
        "--min-relevance",
        "--modality",
        "--offset",
        "--since",
        "--sort",
        "--source",
        "--stream",
        "--until",
    },
    "bench paper": {"--config"},
    "bench recall": {
        "--batch",
        "--bundle",
        "--config",
        "--data",
        "--json",
        "--picture",
        "--questions",
        "--save",
        "--sizes",
        "--threads",
    },
    "bench remember": {
        "--batch",
        "--bundle",
        "--config",
        "--data",
        "--exits",
        "--json",
        "--limit",
        "--picture",
        "--save",
        "--threads",
    },
    "check": {"--config", "--json"},
    "demo": {"--config", "--json", "--photos", "--sheet"},
    "export": {"--config", "--json", "--no-cache", "--state"},
    "forget": {"--config", "--force", "--json", "--meta", "--older-than", "--since", "--source", "--until"},
    "import": {"--config", "--json", "--state"},
    "migrate": {"--config", "--json"},
    "pin": {"--config", "--json", "--meta", "--older-than", "--since", "--source", "--undo", "--until"},
    "run": {"--config"},
    "status": {"--config", "--json"},
}
HELPS = [[], *[command.split() for command in OPTIONS]]


@functools.cache
def help_of(*command: str) -> str:
    done = run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    return done.out


def examples(*command: str) -> list[str]:
    """The command lines of a help's examples."""
    shown = help_of(*command).partition("\nexamples:\n")[2]
    found = [re.split(r" {3,}", line.strip())[0] for line in shown.splitlines() if line.startswith("  reminisce ")]
    assert found
    return found


def all_examples() -> list[str]:
    return list(dict.fromkeys(example for command in HELPS for example in examples(*command)))


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_has_examples_and_exit_codes(command: list[str]) -> None:
    shown = help_of(*command)
    codes = (
        "exit codes: 0 done, 1 failed or only partly done, 2 the command line or the config is wrong, 130 interrupted"
    )
    assert shown.endswith(f"\n{codes}\n")
    assert max(map(len, shown.splitlines())) <= 120
    for example in examples(*command):
        make_parser().parse_args(shlex.split(example.partition("|")[0])[1:])


@pytest.mark.parametrize("command", OPTIONS)
def test_help_lists_the_options(command: str) -> None:
    described = help_of(*command.split()).partition("examples:")[0]
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", described)) - {"--help"} == OPTIONS[command]


def test_help_lists_every_command_with_what_it_does() -> None:
    assert set(re.findall(r"^    ([a-z]+)  +\S", help_of(), re.MULTILINE)) == {
        command.partition(" ")[0] for command in OPTIONS
    }


def test_version_is_the_packages() -> None:
    done = run("--version")
    assert (done.code, done.out, done.err) == (0, f"reminisce {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "reminisce: error: the following arguments are required: COMMAND"),
        (["dance"], "reminisce: error: argument COMMAND: invalid choice: 'dance'"),
        (["demo", "--fotos", "."], "reminisce: error: unrecognized arguments: --fotos ."),
        (["demo", "--photos"], "reminisce demo: error: argument --photos: expected one argument"),
        (["run", "--json"], "reminisce: error: unrecognized arguments: --json"),
        (["--json", "status"], "reminisce: error: unrecognized arguments: --json"),
    ],
)
def test_command_line_that_makes_no_sense_is_refused_with_the_usage(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: reminisce")
    assert said in done.err


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Iterator[Path]:
    """The home of somebody with pictures, a daemon, and `reminisce` installed; the config is the installed one."""
    home = tmp_path_factory.mktemp("home")
    for place in (home, home / "Pictures", home / "Pictures" / "2025", home / "media" / "card" / "DCIM"):
        place.mkdir(parents=True, exist_ok=True)
        for picture in pictures[:3]:
            (place / picture.name).write_bytes(picture.read_bytes() + bytes(str(place), "utf-8"))
    (home / "beach.jpg").write_bytes(pictures[4].read_bytes())
    (home / "note.txt").write_text("The key is under the third flower pot.\n", encoding="utf-8")
    with (
        plain_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker,
        Daemon(folder=home, mqtt=reach(broker)) as daemon,
    ):
        installed = home / "bin" / "reminisce"
        installed.parent.mkdir()
        # /etc/reminisce/config.yaml is what it reads without --config.
        line = f'command=$1; shift; exec {sys.executable} -m edge "$command" --config {daemon.config_file} "$@"'
        installed.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        installed.chmod(0o755)
        yield home


def type_in(home: Path, line: str) -> subprocess.Popen[bytes]:
    """Type a command line into a shell; paths from the root lead into the home."""
    line = line.replace(" /etc/reminisce/", f" {home}/").replace(" /media/", f" {home}/media/")
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)},
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_every_example_works_as_it_is_typed(home: Path) -> None:
    program("jq", "jq")
    lines = all_examples()
    runs = [line for line in lines if line.startswith("reminisce run")]
    benches = [line for line in lines if line.startswith("reminisce bench")]  # of minutes, and of data: see tests/bench
    typed = [line for line in lines if line not in {*runs, *benches}]
    for line in sorted(typed, key=lambda line: ("reminisce add" not in line) + ("reminisce forget" in line)):
        done = finish(type_in(home, line))
        assert (done.code, done.err) == (0, ""), line
        assert done.out or "rejected" in line, line
        if "--json" in line and "|" not in line:
            assert done.objects
    assert runs


@pytest.mark.slow
def test_every_example_of_a_daemon_serves(home: Path) -> None:
    for number, line in enumerate(examples("run")):
        config = json.dumps({"device": f"dev{number}", "state": str(home / f"memory-{number}")})
        (home / "config.yaml").write_text(config, encoding="utf-8")
        running = type_in(home, f"exec {line}")
        assert running.stderr
        while b"INFO ready as" not in (said := running.stderr.readline()):
            assert said
        running.send_signal(signal.SIGTERM)
        assert running.wait(SECONDS) == 0
        finish(running)
