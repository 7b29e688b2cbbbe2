"""The clocks of a board that boots without the right time, for everything in this process that reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class Board:
    """Stands still until it is told otherwise.

    up_s: seconds since the boot, which nobody can set; unix: seconds of Unix time, which anybody can
    """

    unix: float
    up_s: float = 5.0
    boots: int = 1

    def rest(self, seconds: float) -> None:
        """Time goes on."""
        self.up_s += seconds
        self.unix += seconds

    def set(self, unix: float) -> None:
        """The network came, or somebody who knows."""
        self.unix = unix

    def boot(self, unix: float) -> None:
        """Off and on again; the clock says `unix` then, whatever the time is."""
        self.unix, self.up_s, self.boots = unix, 5.0, self.boots + 1


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """One that has been up for a week, with the right time."""
    real = time.clock_gettime
    board = Board(unix=1_800_000_000.0, up_s=7 * 86_400.0)
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: board.unix)
        patch.setattr("time.clock_gettime", lambda which: board.up_s if which == time.CLOCK_BOOTTIME else real(which))
        patch.setattr("edge.memory.disk.clock.boot_id", lambda: f"boot {board.boots}")
        yield board
