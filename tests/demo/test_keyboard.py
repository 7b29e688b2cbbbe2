"""The tour at a terminal: questions are typed, answered, and ended by an empty line."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import SECONDS, start
from edge.demo.tour import QUESTIONS
from processes import see_that_nothing_is_left_in

PROMPT = "? "
HELLO = "Ask something about the pictures (an empty line ends the tour)."


class Terminal:
    """A pseudo-terminal with the tour of a folder on it; what it shows is read as text with plain line ends."""

    def __init__(self, album: Path, here: Path, temporary: Path) -> None:
        self._screen, line = os.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # rows, columns; a new one has none
        streams: dict[str, Any] = {"stdin": line, "stdout": line, "stderr": line}
        self.process = start("demo", "--photos", album, here=here, environ={"TMPDIR": str(temporary)}, **streams)
        os.close(line)
        self.closed = False

    def read_to_prompt(self) -> str:
        """What is shown up to and with the next prompt, or to the end."""
        shown, end = b"", time.monotonic() + SECONDS
        while not shown.endswith(b"\n" + PROMPT.encode()):
            assert select.select([self._screen], [], [], max(0, end - time.monotonic()))[0], shown
            try:
                shown += os.read(self._screen, 4096)
            except OSError:  # how Linux says that nobody has the terminal open any more
                self.closed = True
                break
        return shown.decode(errors="replace").replace("\r\n", "\n")

    def type(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def end(self) -> int:
        """Wait for the tour to end; its exit code."""
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self._screen)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.fixture
def terminal(album: Path, tmp_path: Path, temporary: Path) -> Iterator[Terminal]:
    terminal = Terminal(album, tmp_path, temporary)
    yield terminal
    terminal.close()


def test_typed_questions_are_answered_until_an_empty_line(
    terminal: Terminal, album: Path, temporary: Path, tmp_path: Path
) -> None:
    hello = terminal.read_to_prompt()
    assert f"\n{HELLO}\n{PROMPT}" in hello
    assert f"{album / 'half.jpg'}: not a picture that can be read (" in hello
    for question in ("a house", "  fruit on a table "):
        terminal.type(question.encode() + b"\n")
        shown = terminal.read_to_prompt()
        assert f"\n“{question.strip()}”  " in shown
        for rank, line in enumerate(shown.split("”", 1)[1].splitlines()[1:4], 1):
            assert line.startswith(f"  {rank}. ")
            assert ", exit at depth " in line
    terminal.type(b"\n")
    end = terminal.read_to_prompt()
    assert terminal.closed
    assert "All answers with pictures: reminisce-demo.html" in end
    assert terminal.end() == 1  # one of the album's pictures is broken
    sheet = (tmp_path / "reminisce-demo.html").read_text(encoding="utf-8")
    assert sheet.count("<h2>") == len(QUESTIONS) + 2
    see_that_nothing_is_left_in(temporary)


def test_remembering_shows_its_progress(terminal: Terminal) -> None:
    assert "remembering:" in terminal.read_to_prompt()


@pytest.mark.parametrize("keys", [b"\x04", b"  \n"], ids=["ctrl-d", "spaces"])
def test_end_of_input_or_spaces_end_the_tour_too(keys: bytes, terminal: Terminal) -> None:
    terminal.read_to_prompt()
    terminal.type(keys)
    assert "All answers with pictures: reminisce-demo.html" in terminal.read_to_prompt()
    assert terminal.end() == 1


@pytest.mark.parametrize("keys", [b"caf\xe9", "café 狗 🐕".encode(), b"%s {0} \\ <b>"])
def test_whatever_is_typed_is_answered(keys: bytes, terminal: Terminal) -> None:
    terminal.read_to_prompt()
    terminal.type(keys + b"\n")
    assert "\n  1. " in terminal.read_to_prompt()
    terminal.type(b"\n")
    assert "Traceback" not in terminal.read_to_prompt()
    assert terminal.end() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_at_the_prompt_ends_the_tour_and_its_memory(
    number: signal.Signals, terminal: Terminal, temporary: Path
) -> None:
    terminal.read_to_prompt()
    assert len(list(temporary.iterdir())) == 1
    terminal.process.send_signal(number)
    time.sleep(0.5)
    terminal.process.send_signal(number)  # one that comes between the prompt and the waiting for keys wakes nobody
    shown = terminal.read_to_prompt()
    assert shown.endswith("\nreminisce: interrupted; the temporary memory of the demo is gone\n")
    assert "Traceback" not in shown
    assert terminal.end() == 130
    see_that_nothing_is_left_in(temporary)
