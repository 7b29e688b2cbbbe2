"""A new bundle in place of the old one: it serves at once, and what the old one embedded moves over to it in time."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.bundle import Bundle
from edge.config import CacheConfig, Config, ContentConfig, MemoryConfig, RecallConfig, RememberConfig
from edge.engine import Engine, Hooks
from edge.items import Answer, Arrival, Question
from edge.memory import Limits
from edge.remember import intake
from told import Told

Fill = Callable[..., object]
DOG = "a dog"
# Killed as the writer is about to make the so manyth transaction durable, or right behind it.
VICTIM = """
import os, signal, sys
from pathlib import Path
from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.remember import intake
intake.GROUP = 3
engine = Engine(Config(bundle=sys.argv[1], remember=RememberConfig(min_free_mb=0)), Path(sys.argv[2]))
count, left = [], int(sys.argv[3])
def at(statement):
    if statement == "COMMIT":
        count.append(1)
        if len(count) == left:
            os.kill(os.getpid(), signal.SIGKILL)
engine.memory._rows.set_trace_callback(at)
while engine.intake.remember_group():
    pass
"""


def config_of(bundle: Path, *, pool: int = 0, cache_mb: int = 0) -> Config:
    return Config(
        bundle=str(bundle),
        remember=RememberConfig(min_free_mb=0),
        recall=RecallConfig(pool=pool),
        cache=CacheConfig(max_mb=cache_mb),
    )


@pytest.fixture
def twelve(bundle: Bundle, state: Path, pictures: list[Path], fill: Fill) -> list[Path]:
    """What the shipped bundle has embedded; a golden retriever is among it."""
    some = [*pictures[:11], next(path for path in pictures if path.name == "golden-retriever.jpg")]
    with Engine(config_of(bundle.folder), state) as engine:
        fill(engine, some)
        assert engine.memory.tally.earlier == 0
    return some


def models(state: Path) -> dict[int, list[int]]:
    """By item, the bundles that have embedded it, once for each exit."""
    with closing(sqlite3.connect(state / "memory.db")) as rows:
        found: dict[int, list[int]] = {}
        for item, model in rows.execute("SELECT item, model FROM embeddings"):
            found.setdefault(item, []).append(model)
    return found


def ask(engine: Engine, text: str = DOG, *, limit: int = 3, refine: bool = True) -> Answer:
    return engine.retriever.ask(Question(text=text, limit=limit, refine=refine, explain=True))


def test_what_the_old_bundle_embedded_is_found_at_once_through_its_own_query_tower(
    bundle: Bundle, successor: Bundle, state: Path, twelve: list[Path]
) -> None:
    with Engine(config_of(bundle.folder), state) as engine:
        before = ask(engine, limit=12)
    with Engine(config_of(successor.folder), state) as engine:
        after = ask(engine, limit=12)
        assert engine.memory.tally.earlier == engine.memory.tally.migrating == after.searched == 12
    assert [hit.item.id for hit in after.hits] == [hit.item.id for hit in before.hits]
    assert after.hits[0].item.source == str(twelve[-1])
    assert [hit.score for hit in after.hits] == pytest.approx([hit.score for hit in before.hits], abs=1e-5)
    assert [hit.relevance for hit in after.hits] == pytest.approx([hit.relevance for hit in before.hits], abs=1e-4)
    assert all(hit.why and hit.why.earlier for hit in after.hits)
    assert before.earlier_ms == 0 < after.earlier_ms < after.total_ms


def test_items_of_both_bundles_are_in_one_answer_by_their_probability(
    successor: Bundle,
    state: Path,
    twelve: list[Path],
    pictures: list[Path],
    arrival: Callable[[Path], Arrival],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "GROUP", 3)
    with Engine(config_of(successor.folder), state) as engine:
        engine.memory.accept([arrival(path) for path in pictures[-3:]])
        assert engine.intake.remember_group() == 3
        answer = ask(engine, limit=15)
        assert engine.memory.tally.earlier == len(twelve)
    assert [hit.why.earlier for hit in answer.hits if hit.why].count(True) == 12
    assert len({hit.item.id for hit in answer.hits}) == answer.searched == 15
    relevance = [hit.relevance or 0.0 for hit in answer.hits]
    assert relevance == sorted(relevance, reverse=True)


def test_new_items_go_before_those_of_the_old_bundle_and_these_most_asked_first(
    successor: Bundle, state: Path, twelve: list[Path], pictures: list[Path], arrival: Callable[..., object]
) -> None:
    told = Told()
    config = dataclasses.replace(config_of(successor.folder), remember=RememberConfig(min_free_mb=0, batch=1))
    with Engine(config, state, Hooks(on_outcome=told.outcome)) as engine:
        ask(engine, limit=2, refine=False)
        ask(engine, limit=1, refine=False)
        while engine.refining.write():
            pass
        fond = [hit.item.id for hit in ask(engine, limit=2, refine=False).hits]
        first = engine.intake._flights.take(1)
        assert [item.id for item in first] == fond[:1]
        new = pictures[-3]
        engine.memory.accept([arrival(new)])  # type: ignore[list-item]
        assert (engine.memory.tally.waiting, engine.memory.tally.migrating) == (1, 12)
        engine.intake._flights.give_up(item.id for item in first)
        while engine.intake.remember_group():
            pass
    order = [outcome.item.id for outcome in told.outcomes]
    assert order == [13, *fond, *sorted(set(range(1, 13)) - set(fond), reverse=True)]
    assert len(twelve) == 12


def test_what_a_question_finishes_belongs_to_the_new_bundle_from_then_on(
    successor: Bundle, state: Path, twelve: list[Path]
) -> None:
    with Engine(config_of(successor.folder, pool=4), state) as engine:
        answer = ask(engine, limit=4)
        assert (answer.refined, {hit.why.start for hit in answer.hits if hit.why}) == (4, {"content"})
        assert engine.refining.write() == 4
        tally = engine.memory.tally
        assert (tally.earlier, tally.migrating, dict(tally.exits)) == (8, 8, {16: 4})
        assert {hit.item.id for hit in answer.hits}.isdisjoint(item.id for item in engine.memory.waiting(99))
        again = ask(engine, limit=12)
        assert (again.searched, len({hit.item.id for hit in again.hits})) == (12, 12)
    assert {len(found) for found in models(state).values()} == {1}
    assert len(twelve) == 12


def test_the_old_query_tower_is_opened_by_the_first_question_and_let_go_when_nothing_remains(
    successor: Bundle, state: Path, twelve: list[Path]
) -> None:
    with Engine(config_of(successor.folder), state) as engine:
        (earlier,) = engine._earlier.values()
        assert not earlier.is_open
        ask(engine)
        assert earlier.is_open
        while engine.intake.remember_group():
            pass
        assert engine.memory.tally.earlier == 0
        earlier.follow()
        assert not earlier.is_open
        answer = ask(engine, limit=12)
        assert [hit.why.earlier for hit in answer.hits if hit.why] == [False] * 12
        assert answer.hits[0].item.source != str(twelve[-1]), "the new one takes a dog for a house"
    with Engine(config_of(successor.folder), state) as engine:
        assert engine._earlier == {}
        assert list((state / "index").glob("earlier-*")) == []
    assert {len(found) for found in models(state).values()} == {1}


def test_a_question_short_of_memory_does_not_cost_the_old_bundle_the_next_one(
    successor: Bundle, state: Path, twelve: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object) -> None:
        raise MemoryError

    with Engine(config_of(successor.folder), state) as engine:
        (earlier,) = engine._earlier.values()
        with monkeypatch.context() as patched:
            patched.setattr(earlier, "_words", starved)
            with pytest.raises(MemoryError):
                ask(engine)
        answer = ask(engine, limit=12)
        assert (answer.searched, answer.left_out) == (12, 0)
    assert len(twelve) == 12


def test_item_without_its_file_stays_with_the_old_bundle_and_is_found(
    successor: Bundle, bundle: Bundle, state: Path, twelve: list[Path]
) -> None:
    none = dataclasses.replace(config_of(bundle.folder), content=ContentConfig(max_mb=0))
    with Engine(none, state) as engine:
        assert engine.memory.evict(Limits(max_bytes=0)) == 12
    with Engine(config_of(successor.folder, pool=12), state) as engine:
        assert (engine.memory.tally.earlier, engine.memory.tally.migrating) == (12, 0)
        assert engine.intake.remember_group() == 0
        answer = ask(engine, limit=1)
        assert (answer.hits[0].item.source, answer.refined) == (str(twelve[-1]), 0)


def test_item_that_the_new_bundle_cannot_read_is_found_and_not_decoded_for_a_question(
    successor: Bundle, state: Path, twelve: list[Path]
) -> None:
    with Engine(config_of(successor.folder, pool=12), state) as engine:
        item = engine.memory.item(12)
        assert not engine.memory.reject(item, "crashed the device twice")
        answer = ask(engine, limit=12)
        starts = {hit.item.id: hit.why.start for hit in answer.hits if hit.why}
        assert (len(twelve), answer.refined, starts[12]) == (12, 11, None)
        assert engine.memory.content(item) is not None


def test_item_without_its_file_moves_over_where_its_activation_is_one_of_the_new_bundle(
    successor: Bundle, bundle: Bundle, state: Path, pictures: list[Path], fill: Fill
) -> None:
    old = config_of(bundle.folder, cache_mb=10)
    with Engine(dataclasses.replace(old, remember=RememberConfig(min_free_mb=0, exit_depth=8)), state) as engine:
        fill(engine, pictures[:3])
        assert engine.memory.evict(Limits(max_bytes=0)) == 3
    with Engine(config_of(successor.folder, pool=3, cache_mb=10), state) as engine:
        answer = ask(engine)
        assert {hit.why.start for hit in answer.hits if hit.why} == {"activation"}
        assert engine.refining.write() == 3
        counted = engine.memory.tally
        assert (counted.earlier, counted.migrating, dict(counted.exits)) == (0, 0, {16: 3})
    with Engine(config_of(successor.folder), state) as engine:
        assert engine.memory.tally == counted


def test_bundle_that_was_replaced_in_place_is_said_and_its_items_are_found_once_encoded_anew(
    bundle: Bundle, successor: Bundle, state: Path, tmp_path: Path, pictures: list[Path], fill: Fill,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    place = tmp_path / "bundle"
    shutil.copytree(bundle.folder, place)
    with Engine(config_of(place), state) as engine:
        fill(engine, pictures[:3])
    shutil.rmtree(place)
    shutil.copytree(successor.folder, place)
    (state / "index" / "earlier-1" / "image-08.1").mkdir(parents=True)  # from when it was there
    with caplog.at_level(logging.WARNING), Engine(config_of(place), state) as engine:
        assert "3 items of an earlier bundle are not found until they are encoded anew" in caplog.text
        assert f"{place} holds another bundle now. To have them found meanwhile put it back there" in caplog.text
        assert list((state / "index").glob("earlier-*")) == []
        assert engine.out_of_reach == 3
        assert (ask(engine).hits, ask(engine).searched) == ((), 0)
        while engine.intake.remember_group():
            pass
        assert engine.out_of_reach == 0
        assert ask(engine).searched == 3


def test_old_query_tower_that_the_limit_of_memory_has_no_room_for_is_not_opened(
    successor: Bundle, state: Path, twelve: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with Engine(config_of(successor.folder), state):
        pass
    tight = dataclasses.replace(config_of(successor.folder), memory=MemoryConfig(limit_mb=165))
    with caplog.at_level(logging.WARNING), Engine(tight, state) as engine:
        assert "the limit of memory has no room for the" in caplog.text
        assert engine.out_of_reach == len(twelve)


def test_old_bundle_that_goes_away_while_it_is_needed_costs_only_its_own_items(
    bundle: Bundle, successor: Bundle, state: Path, tmp_path: Path, pictures: list[Path], fill: Fill
) -> None:
    place = tmp_path / "old"
    shutil.copytree(bundle.folder, place)
    with Engine(config_of(place), state) as engine:
        fill(engine, pictures[:3])
    with Engine(config_of(successor.folder), state) as engine:
        shutil.rmtree(place)
        assert ask(engine).hits == ()
        assert engine.out_of_reach == 3
        while engine.intake.remember_group():
            pass
        assert ask(engine).searched == 3


def test_killed_at_a_commit_of_a_migration_nothing_is_lost_and_the_next_life_goes_on_from_there(
    successor: Bundle, state: Path, twelve: list[Path]
) -> None:
    for commit, left in ((1, 12), (2, 9), (1, 9), (3, 3)):
        command = [sys.executable, "-c", VICTIM, str(successor.folder), str(state), str(commit)]
        done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[1])
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        found = models(state)
        assert found.keys() == set(range(1, 13))
        assert {len(set(exits)) for exits in found.values()} == {1}
        assert [exits[0] for exits in found.values()].count(1) == left
    with Engine(config_of(successor.folder), state) as engine:
        assert ask(engine, limit=12).searched == engine.memory.tally.items == len(twelve)
        while engine.intake.remember_group():
            pass
        assert (engine.memory.tally.earlier, engine.memory.tally.waiting, engine.memory.suspects) == (0, 0, frozenset())
        assert ask(engine, limit=12).searched == len(twelve)
