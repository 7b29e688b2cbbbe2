"""Fifty times and more `kill -9` of a real engine at random moments: what it reported is there, whole and once."""

from __future__ import annotations

import hashlib
import itertools
import random
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.memory import Memory
from memories import look_into
from publishers import distinct
from victims import AGAIN, PLACES, Fell, Victims

SEED = secrets.randbits(32)  # a new one each time, and printed: put it here for the same moments again


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at most `longest_s` seconds after the life came to a place; no place: after it began."""

    place: str
    longest_s: float


# Most delays are much shorter than the longest. What takes a millisecond must be aimed at: it is chance which of many
# times that is, and what the other threads are at.
MOMENTS = (
    [Moment("", 1.0)] * 16
    + [Moment("opening", 0.1)] * 2
    + [Moment("arriving", 0.002)] * 3
    + [Moment("accepting", 0.02)] * 4
    + [Moment("content", 0.001)] * 3
    + [Moment("commit", 0.002)] * 6
    + [Moment("decode", 0.01)] * 2
    + [Moment("segment", 0.3)] * 3
    + [Moment("writer", 0.01)] * 4
    + [Moment("cache", 0.001)] * 2
    + [Moment("index", 0.001)] * 2
    + [Moment("sealing", 0.3)] * 3
)
EACH = 2  # kills that must have fallen in every place: some are added until they have
MOST_ADDED = 30


@dataclass(frozen=True, slots=True)
class Landing:
    """Where one kill fell. accepted, indexed: pictures reported so far; swept: files that the next start deleted."""

    moment: Moment
    delay_s: float
    fell: Fell
    accepted: int
    indexed: int
    swept: int

    def __str__(self) -> str:
        at = ", ".join(self.fell.places) or "waiting for something to do"
        when = f"{self.delay_s * 1e3:5.1f} ms after {self.moment.place or 'its start'}"
        return f"{when}: {at}; {self.accepted} accepted, {self.indexed} indexed so far, {self.swept} files swept"


@dataclass(slots=True)
class Siege:
    """Lives over one memory, and what all of them reported."""

    victims: Victims
    bundle: Bundle
    contents: Iterator[bytes]
    accepted: set[int] = field(default_factory=set)
    indexed: set[int] = field(default_factory=set)
    offered: int = 0
    landings: list[Landing] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    def kill(self, moment: Moment, delay_s: float) -> None:
        life = self.victims.begin(first=max(0, self.offered - AGAIN))
        if moment.place:
            life.wait_for(moment.place)
        time.sleep(delay_s)
        fell = life.kill()
        assert not fell.ended
        swept = self.check(fell)
        self.landings.append(Landing(moment, delay_s, fell, len(self.accepted), len(self.indexed), swept))

    def finish(self) -> None:
        """A life that comes to its end: all that was ever offered is there in the end."""
        fell = self.victims.begin(first=0, last=self.offered - 1).end()
        assert fell.ended
        assert fell.numbers("duplicate") >= self.accepted
        assert self.check(fell) == 0

    def check(self, fell: Fell) -> int:
        """Reopen: all that was reported is there, whole and once, and nothing else. How many files were swept."""
        assert {state for state, _ in fell.said} <= {"accepted", "duplicate", "indexed"}
        self.accepted |= fell.numbers("accepted", "duplicate", "indexed")
        self.indexed |= fell.numbers("indexed")
        self.offered = max(self.offered, fell.offered)
        before = _files_in(self.victims.state)
        with Memory(self.victims.state, self.bundle.fingerprint) as memory:
            tally, found = memory.tally, _found_by_search(memory, self.bundle)
            of_digest = {memory.item(item).digest.hex() for item in found}
        remains = look_into(self.victims.state)
        remains.check_accepted(self.digests(self.accepted))
        assert remains.content.keys() == remains.records.keys()
        embedded = {digest for digest, record in remains.records.items() if not record.is_waiting}
        assert self.digests(self.indexed) <= embedded
        assert len(found) == len(set(found))
        assert of_digest == embedded
        assert (tally.items, tally.waiting) == (len(remains.records), len(remains.records) - len(embedded))
        return len(before - remains.content.keys())

    def digests(self, numbers: Collection[int]) -> set[str]:
        missing = itertools.islice(self.contents, self.offered - len(self.known))
        self.known += [hashlib.sha256(content).hexdigest() for content in missing]
        return {self.known[number] for number in numbers}

    def count(self, place: str) -> int:
        return sum(place in landing.fell.places for landing in self.landings)


def _files_in(state: Path) -> set[str]:
    return {path.name for path in (state / "content").rglob("*") if path.is_file()}


def _found_by_search(memory: Memory, bundle: Bundle) -> list[int]:
    """Every item that the index finds, at whatever exit, as often as it does."""
    exits = bundle.manifest.tower("image").exits
    index = memory.open_index("image", {place.depth: 1.0 for place in exits}, 1_000_000_000)
    query = np.ones(bundle.manifest.dimension, np.float32)
    return [item for depth in index.depths for item in index.search(depth, query, 1_000_000).ids.tolist()]


def kill_often(siege: Siege, chance: random.Random) -> None:
    for moment in chance.sample(MOMENTS, len(MOMENTS)):
        siege.kill(moment, moment.longest_s * chance.random() ** 2)
    for _ in range(MOST_ADDED):
        rare = [place for place in PLACES if siege.count(place) < EACH]
        if not rare:
            return
        siege.kill(Moment(rare[0], 0.0), 0.0)


@pytest.mark.slow
def test_kill_at_any_moment_loses_nothing_that_was_reported_and_doubles_nothing(
    tmp_path: Path,
    pictures: list[Path],
    bundle: Bundle,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    began, writer = time.monotonic(), pytestconfig.get_terminal_writer()
    with Victims(tmp_path) as victims:
        siege = Siege(victims, bundle, distinct(pictures))
        try:
            kill_often(siege, random.Random(SEED))  # noqa: S311 - repeatable, not secret
            siege.finish()
        finally:
            with capsys.disabled():
                writer.line(f"\nseed {SEED}, {time.monotonic() - began:.0f} s")
                for number, landing in enumerate(siege.landings, 1):
                    writer.line(f"kill {number:2}: {landing}")
                fell = Counter(place for landing in siege.landings for place in landing.fell.places)
                writer.line(", ".join(f"{place} {fell[place]}" for place in PLACES))

    assert len(siege.landings) >= 50
    assert {place: siege.count(place) for place in PLACES if siege.count(place) < EACH} == {}
    assert len(siege.accepted) == siege.offered
    for counts in ([one.accepted for one in siege.landings], [one.indexed for one in siege.landings]):
        assert counts == sorted(counts)
        assert counts[-1] > 0
