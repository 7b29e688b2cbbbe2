"""A picture that ends the process: a real one that dies while the picture rides, started again and again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from edge.items import Arrival
from edge.memory import CRASHED_TWICE, Memory

ROOT = Path(__file__).parents[2]
# Remembers what waits; dies as it is told when the picture whose source that is rides.
CHILD = """
import os, signal, sys
from pathlib import Path
from edge.config import Config, RememberConfig
from edge.engine import Engine, Hooks
from edge.remember.intake import Intake

state, how, bad, batch = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
ride = Intake._ride

def deadly(self, starts):
    if any(start.item.source == bad for start in starts):
        os.abort() if how == "abort" else os.kill(os.getpid(), signal.SIGKILL)
    return ride(self, starts)

def tell(outcome):
    print(outcome.state, outcome.item.id, outcome.reason, flush=True)

Intake._ride = deadly
with Engine(Config(remember=RememberConfig(batch=batch)), state, Hooks(on_outcome=tell)) as engine:
    engine.start()
    while engine.memory.tally.waiting or engine.memory.accused:
        engine.memory.accused = ()
        import time; time.sleep(0.05)
"""
PICTURES, BAD = 12, 4


@pytest.fixture
def full(state: Path, bundle: object, pictures: list[Path], arrival: Callable[[Path], Arrival]) -> Path:
    """A state folder in which some pictures wait; the one with the id BAD is deadly."""
    with Memory(state, bundle.fingerprint) as memory:  # type: ignore[attr-defined]
        memory.accept([arrival(path) for path in pictures[:PICTURES]])
    return state


def live(state: Path, how: str, bad: Path, batch: int) -> tuple[int, list[str]]:
    """One life of the process: how it ended, and what it said."""
    command: Sequence[str] = [sys.executable, "-c", CHILD, str(state), how, str(bad), str(batch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=40)
    return done.returncode, done.stdout.splitlines()


def count(state: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        return rows.execute(query).fetchall()


@pytest.mark.parametrize(("batch", "how"), [(1, "abort"), (4, "abort"), (4, "kill")])
def test_deadly_picture_is_rejected_in_the_end_and_every_other_one_is_found(
    batch: int, how: str, full: Path, pictures: list[Path]
) -> None:
    lives = 0
    said: list[str] = []
    while (life := live(full, how, pictures[BAD - 1], batch))[0] != 0:
        said += life[1]
        lives += 1
        assert lives < 10
    said += life[1]
    assert lives == (2 if how == "abort" else 6)
    assert count(full, "SELECT id, rejected FROM items WHERE rejected IS NOT NULL") == [(BAD, CRASHED_TWICE)]
    assert count(full, "SELECT count(*), count(DISTINCT item) FROM embeddings") == [(PICTURES - 1, PICTURES - 1)]
    assert count(full, "SELECT count(*) FROM waiting") == [(0,)]
    assert f"rejected {BAD} {CRASHED_TWICE}" in said
