"""When a picture was taken: its sender's word, else its EXIF, else the time of the file, else its arrival."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable

import pytest
from PIL import Image

from edge.bank import Banks
from edge.items import Arrival, Item, Selection
from edge.memory import Memory
from edge.remember import Elevator, Fixed, Intake
from edge.runtime import TowerRunner

NOON_UTC = 1_625_140_800.0
PHOTO, ORIGINAL, OFFSET = 0x8769, 0x9003, 0x9011


@pytest.fixture
def remember(image: TowerRunner, banks: Banks, memory: Memory) -> Callable[[Arrival], Item]:
    def keep(one: Arrival) -> Item:
        elevator = Elevator(image, Fixed(0), banks)
        intake = Intake(image, elevator, memory, batch=8, on_outcome=lambda _: None, failed=lambda _: None)
        memory.accept([one])
        while intake.remember_group():
            pass
        item = memory.find(one.digest)
        assert item is not None
        return item

    return keep


def photo(*, is_dated: bool) -> Arrival:
    exif = Image.Exif()
    if is_dated:
        exif.get_ifd(PHOTO).update({ORIGINAL: "2021:07:01 12:00:00", OFFSET: "+00:00"})
    file = io.BytesIO()
    Image.new("RGB", (300, 240), (20, 90, 200)).save(file, "JPEG", exif=exif)
    content = file.getvalue()
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="image", source="a.jpg", taken_at=None)


def test_exif_dates_what_nobody_dated_and_questions_narrow_by_it(
    remember: Callable[[Arrival], Item], memory: Memory
) -> None:
    item = remember(photo(is_dated=True))
    assert (item.taken_at, item.taken_from) == (NOON_UTC, "exif")
    assert memory.admitted(Selection(since=NOON_UTC, until=NOON_UTC + 1)).tolist() == [item.id]


def test_exif_counts_more_than_the_time_of_the_file(remember: Callable[[Arrival], Item]) -> None:
    item = remember(dataclasses.replace(photo(is_dated=True), taken_at=9.0, taken_from="file"))
    assert (item.taken_at, item.taken_from) == (NOON_UTC, "exif")


def test_senders_word_counts_more_than_exif(remember: Callable[[Arrival], Item]) -> None:
    item = remember(dataclasses.replace(photo(is_dated=True), taken_at=9.0))
    assert (item.taken_at, item.taken_from) == (9.0, "message")


def test_time_of_the_file_counts_where_there_is_no_exif(remember: Callable[[Arrival], Item]) -> None:
    item = remember(dataclasses.replace(photo(is_dated=False), taken_at=9.0, taken_from="file"))
    assert (item.taken_at, item.taken_from) == (9.0, "file")


def test_nothing_known_is_said_as_nothing(remember: Callable[[Arrival], Item]) -> None:
    item = remember(photo(is_dated=False))
    assert (item.taken_at, item.taken_from) == (None, None)


def test_exif_time_outlasts_a_restart(remember: Callable[[Arrival], Item], memory: Memory) -> None:
    item = remember(photo(is_dated=True))
    memory.__exit__(None, None, None)
    with Memory(memory.folder, memory._fingerprint) as again:
        found = again.item(item.id)
        assert (found.taken_at, found.taken_from) == (NOON_UTC, "exif")
