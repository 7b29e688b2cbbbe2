"""A build shows that it lives: bars on a terminal, lines in a log, and how much time is left."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from commands import ROOT
from converter.console import Console, duration

WORK = """\
import time
from converter.console import Console
console = Console(quiet=False)
with console.step("1/2 heal"), console.bar(20, "steps") as tick:
    for number in range(20):
        time.sleep(0.02)
        tick(1)
        if number == 10:
            console.say("window 1 done")
"""


def test_step_says_when_it_begins_and_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True).step("1/9 open the towers"):
        pass
    assert capsys.readouterr() == ("", "1/9 open the towers ...\n1/9 open the towers: 0.0 s\n")


def test_step_that_fails_does_not_say_that_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with Console(quiet=True).step("heal"):
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert capsys.readouterr().err == "heal ...\n"


def test_log_shows_life_with_step_count_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True, life_s=0.1)
    with console.step("2/9 heal"), console.bar(5, "steps") as tick:
        for _ in range(5):
            time.sleep(0.12)
            tick(1)
    lines = capsys.readouterr().err.splitlines()[1:-1]
    assert [line.partition(",")[0] for line in lines] == [f"2/9 heal: {done}/5 steps" for done in range(1, 5)]
    left = [float(line.partition(", ")[2].removesuffix(" s left")) for line in lines]
    assert left == sorted(left, reverse=True)
    assert 0.4 < left[0] < 2


def test_short_work_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True).bar(1000, "steps") as tick:
        for _ in range(1000):
            tick(1)
    assert capsys.readouterr().err == ""


def test_terminal_shows_a_bar_with_time_left_and_lines_of_their_own() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, check=True, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "20/20" in shown or "19/20" in shown
    assert "steps/s" in shown
    assert "\nwindow 1 done\r\n" in shown or "\rwindow 1 done\r\n" in shown
    assert re.search(r"\r1/2 heal: \d\.\d s\r\n$", shown)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (59.99, "1 min 00 s"), (250, "4 min 10 s"), (3900, "1 h 05 min")],
)
def test_duration_is_in_units_that_people_use(seconds: float, told: str) -> None:
    assert duration(seconds) == told
