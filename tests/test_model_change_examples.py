"""After a change of model, what the old one embedded is found by example, too: whatever becomes of its files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from edge.bundle import Bundle, Model
from edge.config import CacheConfig, Config, MemoryConfig, RecallConfig, RememberConfig
from edge.engine import Engine
from edge.items import Answer, Arrival, Question, Selection
from edge.memory import Limits
from edge.remember import intake
from edge.runtime import Interpreter, Interpreters

Fill = Callable[..., object]
PHOTO, ORIGINAL, OFFSET = 0x8769, 0x9003, 0x9011
NOON_UTC = 1_625_140_800.0
TWELVE = 12


def config_of(bundle: Path, *, pool: int = 0, exit_depth: int | None = None, cache_mb: int = 0) -> Config:
    return Config(
        bundle=str(bundle),
        remember=RememberConfig(min_free_mb=0, exit_depth=exit_depth),
        recall=RecallConfig(pool=pool),
        cache=CacheConfig(max_mb=cache_mb),
    )


@pytest.fixture(scope="module")
def old(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle in a place of its own."""
    place = tmp_path_factory.mktemp("old") / "bundle"
    shutil.copytree(bundle.folder, place)
    return place


@pytest.fixture
def twelve(old: Path, state: Path, pictures: list[Path], fill: Fill) -> list[Path]:
    """What the old bundle has embedded, at one exit, the third from the last."""
    with Engine(config_of(old, exit_depth=11), state) as engine:
        fill(engine, pictures[:TWELVE])
        assert dict(engine.memory.tally.exits) == {11: TWELVE}
    return pictures[:TWELVE]


@contextmanager
def away(folder: Path) -> Iterator[None]:
    """The folder is not where it was in between."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(folder)


@pytest.fixture
def opened(old: Path, monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """The files of the old bundle's image tower that were opened, in order."""
    names: list[Model] = []
    image = {segment.model for segment in Bundle.open(old).manifest.tower("image").segments}
    open_ = Interpreters.open

    def noted(files: Interpreters, model: Model) -> Interpreter:
        if files._folder == old and model in image:
            names.append(model)
        return open_(files, model)

    monkeypatch.setattr(Interpreters, "open", noted)
    return names


def digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def ask(engine: Engine, *, limit: int = TWELVE, **fields: object) -> Answer:
    return engine.retriever.ask(Question(limit=limit, explain=True, **fields))  # type: ignore[arg-type]


def found(answer: Answer) -> list[bytes]:
    return [hit.item.digest for hit in answer.hits]


def test_item_of_the_old_bundle_finds_the_others_by_its_embedding_there_without_the_old_tower(
    successor: Bundle, state: Path, old: Path, twelve: list[Path], opened: list[Model]
) -> None:
    with Engine(config_of(old), state) as engine:
        before = ask(engine, like=digest(twelve[0]), refine=False)
    opened.clear()
    with Engine(config_of(successor.folder), state) as engine:
        after = ask(engine, like=digest(twelve[0]))
        assert (len(opened), after.searched, after.left_out) == (0, TWELVE, 0)
    assert set(found(after)) == {digest(file) for file in twelve[1:]}
    assert found(after) == found(before)
    assert [hit.score for hit in after.hits] == pytest.approx([hit.score for hit in before.hits], abs=2e-3)
    assert all(hit.why and hit.why.earlier and hit.relevance is None for hit in after.hits)


def test_picture_that_the_old_bundle_never_saw_passes_its_image_tower_once_and_no_deeper_than_items_lie(
    successor: Bundle, state: Path, old: Path, twelve: list[Path], pictures: list[Path], opened: list[Model]
) -> None:
    sent = pictures[20].read_bytes()
    with Engine(config_of(old), state) as engine:
        before = ask(engine, image=sent)
        place = engine.bundle.manifest.tower("image").exit_at(11)
    opened.clear()
    with Engine(config_of(successor.folder), state) as engine:
        after = ask(engine, image=sent)
        assert len(opened) == place.segment + 1
        again = ask(engine, image=sent)
        assert len(opened) == place.segment + 1
        assert 0 < again.earlier_ms < after.earlier_ms
        beside_words = ask(engine, image=sent, text="food on a table")
        assert len(opened) == place.segment + 1
    assert found(after) == found(again) == found(before)
    assert set(found(beside_words)) == set(found(after)) == {digest(file) for file in twelve}
    assert found(beside_words) != found(after)
    assert [hit.score for hit in after.hits] == pytest.approx([hit.score for hit in before.hits], abs=1e-4)


def test_pool_is_ranked_by_what_the_new_bundle_sees_and_moves_over_to_it(
    successor: Bundle, state: Path, old: Path, twelve: list[Path], pictures: list[Path]
) -> None:
    sent = pictures[20].read_bytes()
    with Engine(config_of(successor.folder, pool=5), state) as engine:
        answer = ask(engine, image=sent)
        assert (len(answer.hits), answer.refined) == (TWELVE, 5)
        finished, rest = answer.hits[:5], answer.hits[5:]
        assert {hit.depth for hit in finished} == {16}
        assert [hit.why.start for hit in finished if hit.why] == ["content"] * 5
        assert {hit.depth for hit in rest} == {11}
        for part in (finished, rest):
            assert [hit.score for hit in part] == sorted((hit.score for hit in part), reverse=True)
        assert engine.refining.write() == 5
        assert engine.memory.tally.earlier == TWELVE - 5
        again = ask(engine, image=sent)
        assert set(found(again)) == {digest(file) for file in twelve}
    assert old.is_dir()


def test_items_of_both_bundles_share_the_pool_and_what_is_not_finished_comes_last(
    successor: Bundle,
    state: Path,
    twelve: list[Path],
    pictures: list[Path],
    arrival: Callable[[Path], Arrival],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "GROUP", 4)
    with Engine(config_of(successor.folder, pool=4, exit_depth=8), state) as engine:
        engine.memory.accept([arrival(path) for path in pictures[12:16]])
        assert engine.intake.remember_group() == 4
        assert engine.memory.tally.earlier == len(twelve)
        sent = pictures[20].read_bytes()
        coarse = ask(engine, image=sent, refine=False, limit=16)
        assert [hit.why.earlier for hit in coarse.hits if hit.why] == [False] * 4 + [True] * 12
        fine = ask(engine, image=sent, limit=16)
        assert (len(found(fine)), len(set(found(fine))), fine.searched, fine.refined) == (16, 16, 16, 4)
        earlier = [hit.why.earlier for hit in fine.hits if hit.why]
        assert earlier[:4].count(True) == 3, "12 of 16 items are the old bundle's, and 3 of the pool of 4"
        assert earlier[4:] == [False] * 3 + [True] * 9


def test_narrowing_holds_for_what_the_old_bundle_embedded(
    successor: Bundle, state: Path, twelve: list[Path], pictures: list[Path]
) -> None:
    some = Selection(digests=(digest(twelve[3]), digest(twelve[4])))
    with Engine(config_of(successor.folder), state) as engine:
        answer = ask(engine, image=pictures[20].read_bytes(), narrowing=some)
    assert (set(found(answer)), answer.searched) == ({digest(twelve[3]), digest(twelve[4])}, 2)


def test_bundle_that_goes_away_meanwhile_is_counted_as_left_out_until_it_is_back(
    successor: Bundle, state: Path, old: Path, twelve: list[Path], pictures: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    sent = pictures[20].read_bytes()
    one = Selection(digests=(digest(twelve[3]),))
    with Engine(config_of(successor.folder), state) as engine:
        with away(old), caplog.at_level(logging.WARNING):
            for _ in range(3):
                answer = ask(engine, image=sent)
                assert (answer.hits, answer.searched, answer.left_out) == ((), 0, TWELVE)
            assert ask(engine, image=sent, narrowing=one).left_out == 1
            assert len(found(ask(engine, like=digest(twelve[0])))) == TWELVE - 1, "what is stored needs no tower"
            assert len([line for line in caplog.messages if "cannot look at an example" in line]) == 1
        answer = ask(engine, image=sent)
        assert (len(answer.hits), answer.searched, answer.left_out) == (TWELVE, TWELVE, 0)


def test_bundle_that_is_not_there_at_the_start_is_left_out_of_every_answer_that_says_how_many(
    successor: Bundle, state: Path, old: Path, twelve: list[Path], pictures: list[Path], fill: Fill
) -> None:
    two = Selection(digests=(digest(twelve[3]), digest(twelve[4])))
    with away(old), Engine(config_of(successor.folder), state) as engine:
        for question in ({"text": "a dog"}, {"image": pictures[20].read_bytes()}):
            assert (ask(engine, **question).searched, ask(engine, **question).left_out) == (0, TWELVE)
            assert ask(engine, **question, narrowing=two).left_out == 2
        fill(engine, pictures[12:13])
        answer = ask(engine, text="a dog")
        assert (answer.left_out, answer.searched) == (0, TWELVE + 1)


def test_lost_query_tower_is_left_out_of_answers_to_text(
    successor: Bundle, state: Path, old: Path, twelve: list[Path]
) -> None:
    with Engine(config_of(successor.folder), state) as engine:
        with away(old):
            assert (ask(engine, text="a dog").searched, ask(engine, text="a dog").left_out) == (0, len(twelve))
        assert (ask(engine, text="a cat").left_out, engine.out_of_reach) == (TWELVE, TWELVE)


def test_image_tower_that_the_limit_of_memory_has_no_room_for_is_not_opened(
    successor: Bundle, state: Path, twelve: list[Path], pictures: list[Path], opened: list[Model],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    # Streamed, the new one takes 125 MB, the old one's query tower 14, and its largest segment 27.
    tight = dataclasses.replace(config_of(successor.folder), memory=MemoryConfig(limit_mb=150))
    with Engine(tight, state) as engine:
        assert engine.out_of_reach == 0
        with caplog.at_level(logging.WARNING):
            assert ask(engine, image=pictures[20].read_bytes()).left_out == len(twelve)
        assert "the limit of memory has no room for the 27 MB of its largest segment" in caplog.text
        assert opened == []


@pytest.mark.parametrize("start", ["content", "activation"])
@pytest.mark.parametrize("origin", ["message", None])
def test_question_that_moves_an_item_over_dates_it_by_its_exif_as_embedding_it_anew_does(
    successor: Bundle, state: Path, old: Path, tmp_path: Path, arrival: Callable[[Path], Arrival], origin: str | None,
    start: str,
) -> None:  # fmt: skip
    exif = Image.Exif()
    exif.get_ifd(PHOTO).update({ORIGINAL: "2021:07:01 12:00:00", OFFSET: "+00:00"})
    exif[PHOTO] = exif.get_ifd(PHOTO)
    file = io.BytesIO()
    Image.new("RGB", (300, 240), (20, 90, 200)).save(file, "JPEG", exif=exif)
    (tmp_path / "dated.jpg").write_bytes(file.getvalue())
    cache_mb = 10 if start == "activation" else 0
    with Engine(config_of(old, exit_depth=8, cache_mb=cache_mb), state) as engine:
        one = dataclasses.replace(arrival(tmp_path / "dated.jpg"), taken_at=5.0, taken_from="message")
        engine.memory.accept([one])
        assert engine.intake.remember_group() == 1
        # As a version left it that did not read EXIF.
        engine.memory._rows.execute("UPDATE items SET taken_from = ?", (origin,))
    with Engine(config_of(successor.folder, pool=3, cache_mb=cache_mb), state) as engine:
        (hit,) = ask(engine, text="the sea").hits
        assert hit.why is not None
        assert hit.why.start == start
        assert engine.refining.write() == 1
        item = engine.memory.item(hit.item.id)
    dated = (5.0, "message") if origin else (NOON_UTC, "exif")
    assert (item.taken_at, item.taken_from) == dated


def test_item_without_its_file_moves_over_without_a_date(
    successor: Bundle, state: Path, old: Path, pictures: list[Path], fill: Fill
) -> None:
    with Engine(config_of(old, exit_depth=8, cache_mb=10), state) as engine:
        fill(engine, pictures[:2])
        assert engine.memory.evict(Limits(max_bytes=0)) == 2
    with Engine(config_of(successor.folder, pool=3, cache_mb=10), state) as engine:
        assert len(ask(engine, text="the sea").hits) == 2
        assert engine.refining.write() == 2
        assert engine.memory.tally.earlier == 0
