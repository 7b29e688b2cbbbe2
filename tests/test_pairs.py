"""The reader of Flickr8k's official layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.errors import ReminisceError, UsageError
from edge.pairs import Pair, read_flickr8k

TOKENS = """\
b.jpg#0\tA dog runs .
b.jpg#1\tA brown dog is running .
a.jpg#0\tTwo men talk .
a.jpg#1\tMen , talking .
c.jpg#0\tA child in a red coat .
"""


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "flickr8k"
    (folder / "Flicker8k_Dataset").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / "Flicker8k_Dataset" / name).write_bytes(b"a photo")
    (folder / "Flickr8k.token.txt").write_text(TOKENS, encoding="utf-8")
    (folder / "Flickr_8k.trainImages.txt").write_text("b.jpg\na.jpg\n", encoding="utf-8")
    (folder / "Flickr_8k.devImages.txt").write_text("c.jpg\n", encoding="utf-8")
    return folder


def test_split_is_read_in_the_order_of_its_list_with_captions_in_the_order_of_theirs(layout: Path) -> None:
    photos = layout / "Flicker8k_Dataset"
    assert read_flickr8k(layout, "train") == (
        Pair(photos / "b.jpg", ("A dog runs .", "A brown dog is running .")),
        Pair(photos / "a.jpg", ("Two men talk .", "Men , talking .")),
    )


def test_splits_share_no_photo(layout: Path) -> None:
    assert [pair.photo.name for pair in read_flickr8k(layout, "dev")] == ["c.jpg"]


def test_name_without_a_file_is_left_out(layout: Path) -> None:
    (layout / "Flicker8k_Dataset" / "b.jpg").unlink()
    assert [pair.photo.name for pair in read_flickr8k(layout, "train")] == ["a.jpg"]


def test_name_without_captions_is_left_out(layout: Path) -> None:
    (layout / "Flickr_8k.devImages.txt").write_text("d.jpg\nc.jpg\n", encoding="utf-8")
    (layout / "Flicker8k_Dataset" / "d.jpg").write_bytes(b"a photo nobody described")
    assert [pair.photo.name for pair in read_flickr8k(layout, "dev")] == ["c.jpg"]


def test_captions_of_photos_outside_the_split_do_not_matter(layout: Path) -> None:
    with (layout / "Flickr8k.token.txt").open("a", encoding="utf-8") as tokens:
        tokens.write("e.jpg.1#0\tA photo of no split .\n")
    assert len(read_flickr8k(layout, "train")) == 2


@pytest.mark.parametrize("line", ["b.jpg#0 A dog runs .", "b.jpg\tA dog runs .", ""])
def test_malformed_caption_line_is_quoted_with_its_file_and_what_is_right(layout: Path, line: str) -> None:
    (layout / "Flickr8k.token.txt").write_text(f"a.jpg#0\tTwo men talk .\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_flickr8k(layout, "train")
    assert str(caught.value) == f"{layout}/Flickr8k.token.txt: {line!r} is not NAME#NUMBER<tab>CAPTION"


def test_folder_that_is_not_there_ends_the_command_with_code_2(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_flickr8k(tmp_path / "none", "train")
    assert str(caught.value) == (
        f"{tmp_path}/none/Flickr8k.token.txt cannot be read (No such file or directory):"
        " give the folder of Flickr8k in its official layout"
    )
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, ReminisceError)
    assert isinstance(caught.value, ValueError)


def test_missing_list_of_a_split_is_named(layout: Path) -> None:
    with pytest.raises(UsageError, match=r"Flickr_8k\.testImages\.txt cannot be read \(No such file or directory\)"):
        read_flickr8k(layout, "test")


def test_captions_in_another_encoding_are_refused_with_the_byte(layout: Path) -> None:
    (layout / "Flickr8k.token.txt").write_bytes(b"a.jpg#0\tA caf\xe9 .\n")
    with pytest.raises(UsageError, match=r"Flickr8k\.token\.txt cannot be read \('utf-8' codec can't decode byte 0xe9"):
        read_flickr8k(layout, "train")


def test_split_without_any_photo_is_refused_with_how_many_were_looked_for(layout: Path) -> None:
    for photo in (layout / "Flicker8k_Dataset").iterdir():
        photo.unlink()
    expected = f"{layout}/Flicker8k_Dataset has none of the 2 photos of the train split"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        read_flickr8k(layout, "train")


@pytest.mark.data
def test_published_train_and_dev_photos_are_all_found_with_five_captions_each(flickr8k: Path) -> None:
    train, dev = read_flickr8k(flickr8k, "train"), read_flickr8k(flickr8k, "dev")
    assert (len(train), len(dev)) == (6000, 1000)
    assert {len(pair.captions) for pair in (*train, *dev)} == {5}
    assert not {pair.photo for pair in train} & {pair.photo for pair in dev}
