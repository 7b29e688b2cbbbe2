"""Refining ahead by a real daemon: a kill repeats nothing that was written, SIGTERM in the middle loses nothing."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from brokers import Mosquitto
from daemons import Daemon, reach
from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.items import Arrival
from publishers import distinct
from waiting import wait_until

ITEMS, GROUP = 70, 32
CONFIG = {"remember": {"exit_depth": 8}, "refine_ahead": {"items_per_hour": 100_000, "after_s": 0}}


def arrivals(pictures: list[Path]) -> Iterator[Arrival]:
    for content in itertools.islice(distinct(pictures), ITEMS):
        digest = hashlib.sha256(content).digest()
        yield Arrival(content=content, digest=digest, modality="image", source="", taken_at=None)


def fill(state: Path, contents: list[Arrival]) -> None:
    """What left at the first exit, with its activations."""
    with Engine(Config(remember=RememberConfig(exit_depth=8, min_free_mb=1)), state) as engine:
        engine.memory.accept(contents)
        while engine.intake.remember_group():
            pass
        assert engine.memory.tally.exits == {8: ITEMS}


def finished(state: Path) -> Mapping[int, int]:
    """Of each item at the last exit, the number of the commit that brought it there."""
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        return dict(rows.execute("SELECT item, sequence FROM embeddings WHERE depth = 16"))


def rows_and_files(state: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        (count,) = rows.execute("SELECT count(*) FROM embeddings").fetchone()
    return count, sum(path.is_file() for path in (state / "activations").rglob("*"))


def test_kill_repeats_nothing_and_stopping_loses_nothing(
    mosquitto: Mosquitto, tmp_path: Path, pictures: list[Path]
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config=CONFIG)
    daemon.folder.mkdir()
    fill(daemon.state, list(arrivals(pictures)))
    with daemon:
        wait_until(lambda: len(finished(daemon.state)) >= GROUP, "the first group")
        daemon.kill()
        first = finished(daemon.state)
        assert first.keys() <= set(range(ITEMS - len(first) + 1, ITEMS + 1))  # of one moment the newest
        daemon.start()
        wait_until(lambda: len(finished(daemon.state)) > len(first), "another group")
        daemon.stop()
        second = finished(daemon.state)
        daemon.start()
        wait_until(lambda: len(finished(daemon.state)) == ITEMS, "all of them")
    last = finished(daemon.state)
    assert {item: last[item] for item in second} == second  # written once, by the life that finished them
    assert {item: second[item] for item in first} == first
    assert len(set(last.values())) <= ITEMS // GROUP + 4  # commits, and not one an item
    rows, files = rows_and_files(daemon.state)
    assert rows == ITEMS
    assert files <= GROUP  # those of the group that was written when the kill came
