"""The tally, after whatever happened: what a plain model of the memory says, and what SQL counts at the next start."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.items import Arrival, Embedded, Tally
from edge.memory import Limits, Memory

TEXTS = st.sampled_from([f"{number} " * number for number in range(1, 9)])
DEPTHS = st.sampled_from([3, 11, 16])
BUNDLES = st.sampled_from(["one", "two"])
EMBEDDING = np.eye(8, dtype=np.float32)[0]


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def arrival(text: str) -> Arrival:
    return Arrival(content=text.encode(), digest=digest(text), modality="image", source=text, taken_at=None)


@dataclass
class Kept:
    """One item of the model: its bundle and deepest exit there, why it cannot be used, whether its file is gone.

    cannot: bundles that were to embed what another had embedded, and could not; asked: how often it was an answer since
    """

    exits: dict[str, int] = field(default_factory=dict)
    cannot: set[str] = field(default_factory=set)
    asked: int = 0
    rejected: str | None = None
    is_lost: bool = False
    is_welcome: bool = True  # once its file is gone
    sightings: int = 1
    is_evicted: bool = False


@dataclass
class Follower:
    """The simplest index: the depth of each item, kept up by the changes alone."""

    sequence: int = 0
    depths: dict[int, int] = field(default_factory=dict)

    def follow(self, memory: Memory) -> None:
        changes = memory.changes(self.sequence)
        for item in changes.removed.tolist():
            self.depths.pop(item, None)
        for part in changes.added:
            self.depths.update(dict.fromkeys(part.ids.tolist(), part.depth))
        self.sequence = changes.sequence
        assert self.sequence == memory.version


class Life(RuleBasedStateMachine):
    """A memory, the bundle that reads it, and its model; items get their ids in the order of `model`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[str, Kept] = {}
        self.indexes: dict[tuple[str, str], Follower] = {}

    @initialize(bundle=BUNDLES)
    def open(self, bundle: str) -> None:
        self.reader, self.memory = bundle, Memory(self.folder, bundle)
        for kept in self.model.values():
            if bundle in kept.exits:
                kept.asked = 0

    @rule(bundle=BUNDLES)
    def reopen(self, bundle: str) -> None:
        self.memory.__exit__(None, None, None)
        self.open(bundle)

    @rule(texts=st.lists(TEXTS, max_size=5))
    def accept(self, texts: list[str]) -> None:
        expected = [self.arrive(text) for text in texts]
        verdicts = self.memory.accept([arrival(text) for text in texts])
        assert [(verdict.state, verdict.reason) for verdict in verdicts] == expected

    def arrive(self, text: str) -> tuple[str, str]:
        kept = self.model.get(text)
        if kept is None:
            self.model[text] = Kept()
        elif kept.rejected is not None and not kept.is_welcome:
            return "rejected", kept.rejected
        else:
            kept.sightings += 1
            if (self.reader in kept.exits) if kept.is_evicted else not kept.is_lost:
                return "duplicate", ""
            kept.exits.pop(self.reader, None)
            kept.is_lost, kept.rejected, kept.is_evicted = False, None, False
            kept.cannot.clear()
        return "accepted", ""

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), depth=DEPTHS)
    def index_some_that_wait(self, data: st.DataObject, depth: int) -> None:
        self.index(data.draw(st.lists(st.sampled_from(self.waiting()), unique=True)), depth)

    @precondition(lambda self: self.found())
    @rule(data=st.data(), depth=DEPTHS)
    def index_one_again(self, data: st.DataObject, depth: int) -> None:
        self.index([data.draw(st.sampled_from(self.found()))], depth)

    def index(self, texts: list[str], depth: int) -> None:
        ids = list(self.model)
        self.memory.index([Embedded(item=ids.index(text) + 1, depth=depth, embedding=EMBEDDING) for text in texts])
        for text in texts:
            self.embed(self.model[text], depth)

    def embed(self, kept: Kept, depth: int) -> None:
        kept.exits = {self.reader: max(depth, kept.exits.get(self.reader, 0))}
        kept.asked = 0

    @precondition(lambda self: self.model)
    @rule(data=st.data(), depth=DEPTHS)
    def refine_some(self, data: st.DataObject, depth: int) -> None:
        texts = data.draw(st.lists(st.sampled_from(list(self.model)), unique=True))
        ids, earlier = list(self.model), self.earlier()
        self.memory.refine([Embedded(item=ids.index(text) + 1, depth=depth, embedding=EMBEDDING) for text in texts])
        for text in texts:
            if self.reader in self.model[text].exits or text in earlier:
                self.embed(self.model[text], depth)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), times=st.integers(1, 3))
    def ask_for_one(self, data: st.DataObject, times: int) -> None:
        text = data.draw(st.sampled_from(list(self.model)))
        self.memory.asked({list(self.model).index(text) + 1: times})
        if text in self.again():
            self.model[text].asked += times

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), is_lost=st.booleans())
    def reject_one_that_waits(self, data: st.DataObject, is_lost: bool) -> None:  # noqa: FBT001 - drawn
        text = data.draw(st.sampled_from(self.waiting()))
        item = self.memory.item(list(self.model).index(text) + 1)
        kept = self.model[text]
        assert self.memory.reject(item, f"{text} is damaged", is_lost=is_lost) == (not kept.exits)
        if kept.exits:
            kept.cannot.add(self.reader)
            kept.asked = 0
            return
        kept.rejected, kept.is_lost, kept.is_welcome = f"{text} is damaged", True, is_lost

    @rule(max_bytes=st.integers(0, 80))
    def evict(self, max_bytes: int) -> None:
        oldest = [text for text in self.items() if text not in self.waiting() and not self.model[text].is_evicted]
        excess = sum(map(len, oldest)) - max_bytes
        expected = 0
        while excess > 0:
            self.model[oldest[expected]].is_evicted = True
            excess -= len(oldest[expected])
            expected += 1
        assert self.memory.evict(Limits(max_bytes=max_bytes)) == expected

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def lose_the_content_of_one(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(list(self.model)))
        name = digest(text).hex()
        (self.folder / "content" / name[:2] / name).unlink(missing_ok=True)
        self.model[text].is_lost = True

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def see_one_again(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(list(self.model)))
        self.memory.sighted([digest(text)])
        self.model[text].sightings += 1

    def found(self) -> list[str]:
        return [text for text, kept in self.model.items() if kept.rejected is None and self.reader in kept.exits]

    def items(self) -> list[str]:
        return [text for text, kept in self.model.items() if kept.rejected is None]

    def waiting(self) -> list[str]:
        return [*self.new(), *self.again()]

    def new(self) -> list[str]:
        return [text for text in self.items() if not self.model[text].exits]

    def earlier(self) -> list[str]:
        return [text for text in self.items() if self.model[text].exits and self.reader not in self.model[text].exits]

    def again(self) -> list[str]:
        kept = self.model
        may = [text for text in self.earlier() if not kept[text].is_evicted and self.reader not in kept[text].cannot]
        newest_first = may[::-1]
        return sorted(newest_first, key=lambda text: -kept[text].asked)

    @invariant()
    def tally_says_what_there_is(self) -> None:
        waiting, found = self.new(), self.found()
        depths = [self.model[text].exits[self.reader] for text in found]
        assert self.memory.tally == Tally(
            items=len(self.items()),
            waiting=len(waiting),
            waiting_bytes=sum(map(len, waiting)),
            rejected=len(self.model) - len(self.items()),
            exits={depth: depths.count(depth) for depth in sorted(set(depths))},
            content_bytes=sum(len(text) for text in self.items() if not self.model[text].is_evicted),
            earlier=len(self.earlier()),
            migrating=len(self.again()),
        )

    @invariant()
    def what_waits_and_what_is_found_is_what_the_tally_says(self) -> None:
        assert [item.source for item in self.memory.waiting(100)] == self.waiting()
        parts = {part.depth: len(part.ids) for part in self.memory.partitions()}
        assert parts == self.memory.tally.exits

    @invariant()
    def sightings_are_what_came(self) -> None:
        items = [self.memory.item(number + 1) for number in range(len(self.model))]
        assert [item.sightings for item in items] == [kept.sightings for kept in self.model.values()]
        assert all((item.seen_at is None) == (item.sightings == 1) for item in items)

    @invariant()
    def changes_since_any_moment_make_an_index_of_then_one_of_now(self) -> None:
        """One index follows each step, another looks only now and then."""
        for name in ("steady", "lazy") if len(self.model) % 3 == 0 else ("steady",):
            seen = self.indexes.setdefault((self.reader, name), Follower())
            seen.follow(self.memory)
            assert seen.depths == {item: part.depth for part in self.memory.partitions() for item in part.ids.tolist()}

    def teardown(self) -> None:
        self.memory.__exit__(None, None, None)
        shutil.rmtree(self.folder)


TestTallyInAnyLife = Life.TestCase
TestTallyInAnyLife.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
