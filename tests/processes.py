"""Which processes live: for tests that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import psutil

from waiting import wait_until


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder or below it, or were given a file there."""
    found = []
    for process in psutil.process_iter():
        try:
            command, where = process.cmdline(), process.cwd()
        except psutil.Error:
            continue
        if Path(where).is_relative_to(folder) or any(str(folder) in word for word in command):
            found.append(" ".join(command))
    return found


def see_that_nothing_is_left_in(folder: Path) -> None:
    """Raises AssertionError unless the folder is empty and no process is at work there."""
    wait_until(lambda: not processes_of(folder), f"the end of all processes of {folder}", seconds=10)
    assert list(folder.iterdir()) == []
