"""Notes beside pictures in one memory: remembered, asked for, asked by, kept back, forgotten and carried away."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import MANIFEST, Bundle
from edge.config import Config, RememberConfig
from edge.demo import DEMO_BUNDLE
from edge.engine import Engine, Hooks
from edge.errors import RefusedError
from edge.items import Answer, Arrival, Hit, Offer, Outcome, Question, Selection, Verdict
from edge.memory import InUse, export, import_memory
from edge.memory import Limits as ContentLimits
from edge.memory.index import Limits
from edge.memory.index.blocks import Block
from indexes import settle
from remains import left_of
from waiting import wait_until

SAID = "A golden retriever sits in the grass with its tongue out.\nSeen in the park."
NOTES = (
    SAID,
    "Buy milk, eggs and bread.",
    "The spare key is under the third flower pot.",
    "Dentist on Monday at nine.",
)
Fill = Callable[[Engine, "list[Path]"], "list[Verdict]"]


def note(text: str) -> Arrival:
    content = text.encode()
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="text", source="note", taken_at=None)


def remember(engine: Engine, *texts: str) -> list[Verdict]:
    verdicts = engine.memory.accept([note(text) for text in texts])
    while engine.intake.remember_group():
        pass
    return verdicts


def ask(engine: Engine, text: str = "", **more: Any) -> Answer:
    return engine.retriever.ask(Question(text=text, **{"limit": 5, **more}))


def names(answer: Answer) -> list[str]:
    return [hit.text or Path(hit.item.source).name for hit in answer.hits]


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


@pytest.fixture
def engine(state: Path, outcomes: list[Outcome], pictures: list[Path], fill: Fill) -> Iterator[Engine]:
    """Without threads; eight pictures, a dog's among them, and NOTES."""
    dog = next(path for path in pictures if path.name == "golden-retriever.jpg")
    with Engine(Config(), state, Hooks(on_outcome=outcomes.append)) as engine:
        fill(engine, [*pictures[:7], dog])
        remember(engine, *NOTES)
        yield engine


@pytest.fixture
def unable(tmp_path: Path) -> Path:
    """The shipped bundle as it was before notes: calibrated, but for them."""
    folder = tmp_path / "unable"
    shutil.copytree(DEMO_BUNDLE, folder, copy_function=os.link)
    manifest = json.loads((DEMO_BUNDLE / MANIFEST).read_text(encoding="utf-8"))
    (text,) = (tower for tower in manifest["towers"] if tower["modality"] == "text")
    text["exits"][-1]["calibration"] = None
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_photo_and_note_of_one_thing_are_in_one_answer(engine: Engine) -> None:
    answer = ask(engine, "a dog with its tongue out")
    assert set(names(answer)[:2]) == {SAID.splitlines()[0], "golden-retriever.jpg"}
    assert (answer.searched, answer.refined) == (12, 12)
    likely = [hit.relevance or 0 for hit in answer.hits]
    assert likely == sorted(likely, reverse=True)
    assert min(likely[:2]) > 10 * likely[2]


def test_note_stands_at_the_end_of_its_tower_from_the_start(engine: Engine, outcomes: list[Outcome]) -> None:
    depth = engine.bundle.manifest.tower("text").exits[-1].depth
    assert [one.depth for one in outcomes if one.item.modality == "text"] == [depth] * len(NOTES)
    assert (engine.memory.tally.notes, sum(engine.memory.tally.exits.values())) == (len(NOTES), 8)
    (hit, *_) = ask(engine, "where is the key?", explain=True, narrowing=Selection(modality="text")).hits
    assert hit.why is not None
    assert (hit.why.exit_depth, hit.why.round, hit.why.ms, hit.why.start) == (depth, "correcting", 0.0, None)
    assert hit.why.coarse == hit.why.fine == hit.score


def test_modality_narrows_to_notes_or_to_pictures(engine: Engine) -> None:
    notes = ask(engine, "a dog", narrowing=Selection(modality="text"))
    assert ({hit.item.modality for hit in notes.hits}, notes.searched) == ({"text"}, len(NOTES))
    pictures = ask(engine, "a dog", narrowing=Selection(modality="image"))
    assert ({hit.item.modality for hit in pictures.hits}, pictures.searched) == ({"image"}, 8)


def test_pages_go_on_through_both(engine: Engine) -> None:
    whole = names(ask(engine, "a dog", limit=12))
    assert [name for offset in (0, 5, 10) for name in names(ask(engine, "a dog", offset=offset))] == whole
    assert len(set(whole)) == 12


def test_notes_take_no_place_in_the_pool(engine: Engine) -> None:
    engine.retriever._pool = 2
    answer = ask(engine, "a dog", explain=True, limit=12)
    pictures = [hit.why for hit in answer.hits if hit.item.modality == "image"]
    assert sum(why.round == "correcting" for why in pictures if why) >= 2


def test_notes_that_hardly_differ_are_answers_of_their_own(engine: Engine) -> None:
    remember(engine, "The meter says 4711 kWh.", "The meter says 4712 kWh.")
    answer = ask(engine, "the meter", collapse=True)
    assert {"The meter says 4711 kWh.", "The meter says 4712 kWh."} <= set(names(answer))
    assert not any(hit.similar for hit in answer.hits)


def test_note_as_the_example_asks_by_what_it_says(engine: Engine) -> None:
    answer = ask(engine, like=note(SAID).digest, least=0.01)
    assert names(answer)[0] == "golden-retriever.jpg"
    assert SAID.splitlines()[0] not in names(answer)  # itself is left out


def test_picture_as_the_example_finds_no_notes(engine: Engine, pictures: list[Path]) -> None:
    answer = ask(engine, image=pictures[0].read_bytes(), limit=12)
    assert {hit.item.modality for hit in answer.hits} == {"image"}
    with pytest.raises(RefusedError, match="min_relevance is for text alone"):
        ask(engine, image=pictures[0].read_bytes(), least=0.5)


def test_same_note_again_is_a_sighting(engine: Engine) -> None:
    (verdict,) = remember(engine, SAID)
    assert (verdict.state, engine.memory.tally.items) == ("duplicate", 12)


def test_notes_keep_their_bytes_where_photos_do_not(engine: Engine) -> None:
    assert engine.memory.evict(ContentLimits(max_bytes=0, max_age_s=None)) == 8
    (hit, *_) = ask(engine, "where is the key?", narrowing=Selection(modality="text")).hits
    assert (hit.item.digest, hit.item.evicted, hit.text) == (note(NOTES[2]).digest, False, NOTES[2])
    assert ask(engine, like=note(SAID).digest).hits


def test_note_whose_file_is_gone_is_found_without_its_text(engine: Engine, state: Path) -> None:
    name = note(NOTES[2]).digest.hex()
    (state / "content" / name[:2] / name).unlink()
    (hit, *_) = ask(engine, "where is the key?", narrowing=Selection(modality="text")).hits
    assert (hit.item.digest, hit.text) == (note(NOTES[2]).digest, None)
    with pytest.raises(RefusedError, match="its bytes are not kept: ask with its text"):
        ask(engine, like=note(NOTES[2]).digest)


def test_pinned_note_stays_where_a_filter_means_it(engine: Engine) -> None:
    kept = Selection(digests=(note(SAID).digest,))
    assert engine.memory.pin(kept, is_pinned=True) == 1
    gone = engine.memory.forget(Selection(source="note"))
    assert (gone.items, gone.pinned) == (len(NOTES) - 1, 1)
    assert (engine.memory.tally.notes, ask(engine, "a dog").searched) == (1, 9)


def seal_notes(engine: Engine) -> None:
    """As from 4,096 on: in files beside the database."""
    index = engine._filters[-1]._index
    index._limits = Limits(forest_from=10**9, shortest_tail=2)
    settle(index)


def traces(engine: Engine, state: Path) -> dict[str, bytes]:
    """Every form in which the note about the key is on disk."""
    item = engine.memory.find(note(NOTES[2]).digest)
    assert item is not None
    (rows,) = engine.memory.partitions("text")
    (vector,) = rows.embeddings[rows.ids == item.id]
    (sealed,) = (state / "index").glob("text-*")
    row = Block.of(np.array([item.id]), vector[None], np.zeros(1, np.float32), np.fromfile(sealed / "centre", "<f4"))
    return {
        "text": b"flower pot",
        "digest": item.digest,
        "float32": vector.tobytes(),
        "float16": vector.astype("<f2").tobytes(),
        "half a float16": vector.astype("<f2").tobytes()[:384],
        "int8": row.codes.tobytes(),
    }


def kinds(left: Iterable[str]) -> set[str]:
    return {what.partition(" in ")[0] for what in left}


def test_forgotten_note_is_gone_from_the_disk(engine: Engine, state: Path) -> None:
    assert ask(engine, "a key").hits
    seal_notes(engine)
    there = traces(engine, state)
    assert kinds(left_of(there, state / "index")) == {"float16", "half a float16", "int8"}
    engine.memory.forget(Selection(digests=(note(NOTES[2]).digest,)))
    assert NOTES[2] not in names(ask(engine, "a key", limit=12))
    assert ask(engine, "a key").searched == 11
    assert left_of(there, state) == []
    assert list((state / "index").glob("text-*")), "the other notes stay in files"


def test_note_is_gone_from_the_disk_where_the_bundle_that_embedded_it_went(
    engine: Engine, state: Path, unable: Path
) -> None:
    seal_notes(engine)
    there = traces(engine, state)
    engine.__exit__(None, None, None)
    with Engine(Config(bundle=str(unable)), state) as later:
        assert left_of(there, state / "index") == []  # nothing open reads it
        assert left_of(there, state) != []
        assert later.memory.forget(Selection(digests=(note(NOTES[2]).digest,))).items == 1
        assert left_of(there, state) == []
    with Engine(Config(), state) as again:  # what it had in files comes back from the database
        assert ask(again, "a key", limit=12).searched == 11


def test_notes_are_found_again_after_a_restart(engine: Engine, state: Path) -> None:
    before = ask(engine, "a dog", limit=12)
    engine.__exit__(None, None, None)
    with Engine(Config(), state) as again:
        after = ask(again, "a dog", limit=12)
    assert [figures(hit) for hit in after.hits] == [figures(hit) for hit in before.hits]


def test_notes_go_along_to_another_device(engine: Engine, state: Path, tmp_path: Path) -> None:
    before = ask(engine, "a dog", limit=12)
    engine.__exit__(None, None, None)
    export(state, tmp_path / "memory.tar", engine.bundle.manifest.model)
    manifest = engine.bundle.manifest
    exits = {str(tower.modality): frozenset(place.depth for place in tower.exits) for tower in manifest.towers}
    hashes = manifest.segment_hashes(manifest.tower("image"))
    in_use = InUse(fingerprint=engine.bundle.fingerprint, dimension=manifest.dimension, exits=exits, hashes=hashes)
    assert import_memory(tmp_path / "memory.tar", tmp_path / "other", in_use, cache_bytes=10**8).waiting == 0
    with Engine(Config(), tmp_path / "other") as other:
        assert [figures(hit) for hit in ask(other, "a dog", limit=12).hits] == [figures(hit) for hit in before.hits]


def figures(hit: Hit) -> tuple[object, ...]:
    return hit.item.digest, hit.depth, pytest.approx(hit.score, abs=1e-3), hit.text


def test_bundle_without_a_calibration_for_notes_takes_none_and_loses_none(
    unable: Path, state: Path, outcomes: list[Outcome]
) -> None:
    with Engine(Config(bundle=str(unable)), state, Hooks(on_outcome=outcomes.append)) as engine:
        assert engine.modalities == ("image",)
        remember(engine, SAID)
        assert (outcomes, engine.memory.tally.waiting, engine.memory.tally.rejected) == ([], 1, 0)
        assert not engine.intake.has_work
        assert ask(engine, "a dog").hits == ()
    with Engine(Config(), state, Hooks(on_outcome=outcomes.append)) as engine:  # one that can
        assert engine.modalities == ("image", "text")
        while engine.intake.remember_group():
            pass
        assert [one.state for one in outcomes] == ["indexed"]
        assert names(ask(engine, "a dog")) == [SAID.splitlines()[0]]


def test_bundle_that_takes_no_notes_goes_on_with_pictures_at_once(
    unable: Path, state: Path, engine: Engine, pictures: list[Path]
) -> None:
    engine.memory.accept([note("Call the plumber."), note("Water the plants.")])
    engine.__exit__(None, None, None)
    verdicts: list[Verdict] = []
    few = RememberConfig(min_free_mb=0, inbox_items=1)
    with Engine(Config(bundle=str(unable), remember=few), state) as again:
        assert (again.memory.tally.waiting, again.memory.tally.migrating) == (0, 8)
        assert {item.modality for item in again.memory.waiting(99)} == {"image"}
        again.start()
        again.inbox.offer(Offer(content=pictures[-1].read_bytes(), source=str(pictures[-1])), verdicts.append)
        wait_until(lambda: verdicts and not again.intake.has_work)
        assert (verdicts[0].state, again.inbox.gate) == ("accepted", "open")
        notes = [item for number in range(1, 15) if (item := again.memory.item(number)).modality == "text"]
        assert len(notes) == len(NOTES) + 2
        assert not any(again.memory.is_kept_back(item.id) for item in notes)
    with Engine(Config(), state) as again:
        while again.intake.remember_group():
            pass
        assert again.memory.tally.notes == len(NOTES) + 2


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """The shipped bundle as another one."""
    folder = tmp_path / "later"
    shutil.copytree(DEMO_BUNDLE, folder, copy_function=os.link)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(json.dumps({**manifest, "model": "later"}), encoding="utf-8")
    return folder


def test_notes_of_an_earlier_bundle_are_counted_until_they_are_found(
    state: Path, renamed: Path, engine: Engine, pictures: list[Path]
) -> None:
    key = Selection(digests=(note(NOTES[2]).digest,))
    engine.__exit__(None, None, None)
    with Engine(Config(bundle=str(renamed)), state) as later:
        answer = ask(later, "a dog", refine=False)
        assert (answer.searched, answer.left_out, later.out_of_reach) == (8, len(NOTES), len(NOTES))
        assert ask(later, "a dog", refine=False, narrowing=key).left_out == 1
        assert ask(later, "a dog", refine=False, narrowing=Selection(modality="image")).left_out == 0
        assert ask(later, image=pictures[0].read_bytes(), refine=False).left_out == 0, "a picture finds no notes"
        (earlier,) = later._earlier.values()
        earlier.is_lost = True
        assert (ask(later, "a cat").left_out, later.out_of_reach) == (12, 12), "each is counted once"
        later.memory.forget(key)
        assert (ask(later, "a cow").left_out, later.out_of_reach) == (11, 11)
        while later.intake.remember_group():
            pass
        answer = ask(later, "a dog")
        assert (answer.searched, answer.left_out, later.out_of_reach) == (11, 0, 0)


def test_notes_that_the_present_bundle_does_not_take_are_counted_for_good(
    state: Path, unable: Path, engine: Engine
) -> None:
    engine.__exit__(None, None, None)
    with Engine(Config(bundle=str(unable)), state) as later:
        while later.intake.remember_group():
            pass
        answer = ask(later, "a dog")
        assert (answer.searched, answer.left_out, later.out_of_reach) == (8, len(NOTES), len(NOTES))


def test_notes_of_a_bundle_that_went_are_none_that_a_picture_could_find(
    state: Path, renamed: Path, unable: Path, pictures: list[Path]
) -> None:
    with Engine(Config(bundle=str(renamed)), state) as first:
        remember(first, *NOTES)
    shutil.rmtree(renamed)
    with Engine(Config(bundle=str(unable)), state) as later:
        assert (ask(later, "a dog").left_out, later.out_of_reach) == (len(NOTES), len(NOTES))
        assert ask(later, image=pictures[0].read_bytes()).left_out == 0


def test_notes_of_an_earlier_bundle_are_embedded_anew(state: Path, renamed: Path, engine: Engine) -> None:
    engine.memory.evict(ContentLimits(max_bytes=0))
    engine.__exit__(None, None, None)
    with Engine(Config(bundle=str(renamed)), state) as later:
        assert (later.memory.tally.migrating, later.memory.tally.notes) == (len(NOTES), 0)  # photos are not kept
        assert {item.modality for item in later.memory.waiting(len(NOTES))} == {"text"}  # they go first
        while later.intake.remember_group():
            pass
        assert (later.memory.tally.migrating, later.memory.tally.notes) == (0, len(NOTES))
        assert SAID.splitlines()[0] in names(ask(later, "a dog with its tongue out"))[:2]


def test_bundle_that_is_not_calibrated_takes_notes_and_ranks_by_cosine(tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(DEMO_BUNDLE, folder, copy_function=os.link)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for tower in manifest["towers"]:
        tower["policies"] = None
        for place in tower["exits"]:
            place["calibration"] = None
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(json.dumps({**manifest, "calibrated": False}), encoding="utf-8")
    with Engine(Config(bundle=str(folder)), state) as engine:
        remember(engine, *NOTES)
        answer = ask(engine, "a dog")
    assert names(answer)[0] == SAID.splitlines()[0]
    assert {hit.relevance for hit in answer.hits} == {None}
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)


def test_manifest_says_whether_notes_can_be_items(bundle: Bundle, unable: Path) -> None:
    assert bundle.manifest.takes_notes
    assert not Bundle.open(unable).manifest.takes_notes
    notes_alone = dataclasses.replace(bundle.manifest, towers=(bundle.manifest.tower("text"),))
    with pytest.raises(ValueError, match="calibrated is false, but the text exit at depth 6 has a calibration"):
        dataclasses.replace(notes_alone, calibrated=False)
