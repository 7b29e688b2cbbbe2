"""Which processes live, and what they hold: for tests that nothing is left behind, and how much is taken."""

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


def anonymous_mb(pid: int) -> float:
    """Megabytes of memory that the system cannot take back."""
    return int(status_of(pid, "RssAnon")) * 1024 / 1e6


def status_of(pid: int, field: str) -> str:
    """The first word of a field of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return text.partition(f"\n{field}:")[2].split()[0]
