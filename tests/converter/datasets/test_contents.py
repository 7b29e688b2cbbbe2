"""What counts as decodable, and what tells items apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from converter.data.contents import examine
from edge.errors import UnreadableItemError
from tiny_data import picture, sound


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "item.jpg"


def test_same_picture_in_another_file_decodes_to_the_same(file: Path) -> None:
    file.write_bytes(picture(1))
    one = examine(file)
    file.write_bytes(picture(1, "BMP"))
    other = examine(file)
    assert one.decoded == other.decoded
    assert one.digest != other.digest


def test_other_pictures_decode_to_something_else(file: Path) -> None:
    found = []
    for number in range(2):
        file.write_bytes(picture(number))
        found.append(examine(file).decoded)
    assert found[0] != found[1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_picture_that_is_cut_off_is_refused_although_its_head_is_sound(file: Path, kind: str) -> None:
    content = picture(1, kind)
    file.write_bytes(content[: len(content) - 40])
    with pytest.raises(UnreadableItemError, match=r"not a picture that can be read \(.*truncated"):
        examine(file)


def test_file_that_is_no_picture_is_refused(file: Path) -> None:
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(UnreadableItemError, match=r"not a picture of a known kind \(JPEG, PNG, "):
        examine(file)


def test_file_that_cannot_be_read_is_refused_with_the_systems_words(file: Path) -> None:
    with pytest.raises(UnreadableItemError, match=r"^cannot be read: No such file or directory$"):
        examine(file)


def test_sound_is_told_from_others_by_its_samples(tmp_path: Path) -> None:
    file = tmp_path / "rain.WAV"
    file.write_bytes(sound(1))
    one = examine(file)
    file.write_bytes(sound(1) + b"behind the samples")
    assert examine(file).decoded == one.decoded
    file.write_bytes(sound(2))
    assert examine(file).decoded != one.decoded


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (sound(1)[:-10], "cut off: 90 bytes of samples, its head promises 100"),
        (sound(1, samples=0), "cut off: 0 bytes of samples, its head promises 0"),
        (sound(1)[:30], "not a WAV file of PCM samples ("),
        (b"OggS and so on", "not a WAV file of PCM samples (file does not start with RIFF id): convert it"),
        (b"", "not a WAV file of PCM samples ("),
    ],
)
def test_sound_that_is_not_whole_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "rain.wav"
    file.write_bytes(content)
    with pytest.raises(UnreadableItemError, match=f"^{re.escape(told)}"):
        examine(file)


def test_window_with_a_value_that_is_no_number_is_refused() -> None:
    window = np.zeros((128, 9), np.float32)
    assert examine(window).digest == examine(window.copy()).digest
    window[5, 3] = np.nan
    with pytest.raises(UnreadableItemError, match=r"^has values that are not numbers$"):
        examine(window)
