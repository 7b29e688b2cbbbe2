"""When a picture was taken, by its EXIF: whatever stands there, a time or nothing."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from edge.runtime import exif_time

PHOTO, ORIGINAL, OFFSET, CHANGED = 0x8769, 0x9003, 0x9011, 0x0132
NOON = "2021:07:01 12:00:00"
NOON_UTC = 1_625_140_800.0


def photo(taken: object = None, offset: object = None, kind: str = "JPEG", changed: str = "") -> bytes:
    exif = Image.Exif()
    told = exif.get_ifd(PHOTO)  # a TIFF is written from this one, the others from what stands beside it
    told.update({tag: value for tag, value in ((ORIGINAL, taken), (OFFSET, offset)) if value is not None})
    exif[PHOTO] = told
    exif[CHANGED] = changed
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("offset", "later_s"), [("+00:00", 0), ("+02:00", -7_200), ("-09:30", 34_200)])
def test_time_with_a_zone_is_that_moment(kind: str, offset: str, later_s: float) -> None:
    assert exif_time(photo(NOON, offset, kind)) == NOON_UTC + later_s


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("offset", [None, "", "   :  ", "CEST"])
def test_time_without_a_zone_is_the_devices(offset: str | None) -> None:
    assert exif_time(photo(NOON, offset)) == NOON_UTC - 7_200
    assert exif_time(photo("2021:01:01 12:00:00", None)) == 1_609_502_400.0 - 3_600


@pytest.mark.parametrize(
    "taken",
    [
        None,
        "",
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2021:02:30 12:00:00",
        "2021-07-01 12:00:00",
        "2021:07:01",
        "yesterday",
        "9999:99:99 99:99:99",
        "2021:07:01 25:00:00",
        "1901:01:01 00:00:00",
        "٢٠٢١:07:01 12:00:00",
    ],
)
def test_what_is_no_time_is_none(taken: str | None) -> None:
    assert exif_time(photo(taken, "+00:00")) is None


def test_time_of_the_last_change_is_not_when_it_was_taken() -> None:
    assert exif_time(photo(changed=NOON)) is None


def test_png_without_a_time_is_not_decoded_for_it() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4_000, 3_000)).save(file, "PNG")
    cut = file.getvalue()[:200]  # pixels are missing
    assert exif_time(cut) is None
    assert exif_time(photo(NOON, "+00:00", "PNG")[:-30]) == NOON_UTC


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0", bytes(10_000)])
def test_file_that_is_no_picture_has_no_time(content: bytes) -> None:
    assert exif_time(content) is None


def test_damaged_exif_is_a_time_or_none_and_no_error() -> None:
    whole = photo(NOON, "+00:00")
    end = whole.index(b"\xff\xdb")  # all before it is the head
    chance = np.random.default_rng(7)
    for _ in range(2_000):
        damaged = bytearray(whole)
        for _ in range(int(chance.integers(1, 7))):
            damaged[int(chance.integers(2, end))] = int(chance.integers(256))
        found = exif_time(bytes(damaged))
        assert found is None or 0 <= found <= 253_402_300_799
    for length in range(0, len(whole), 5):
        exif_time(whole[:length])
