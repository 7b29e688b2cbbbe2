"""Which files a path stands for, and how their names are shown."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from edge.adding import SUFFIXES, find_pictures, printable
from edge.errors import UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> list[Path]:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return [Path(name) for name in names]


@pytest.mark.usefixtures("here")
def test_folder_is_the_pictures_below_it_sorted() -> None:
    expected = make("album/2024/b.jpg", "album/2025/may/a.png", "album/z.JPEG")
    make("album/notes.txt", "album/film.MP4", "album/README", "album/2025/more.txt")
    found, others = find_pictures([Path("album")])
    assert found == expected
    assert others == Counter({".txt": 2, ".mp4": 1, "README": 1})


@pytest.mark.usefixtures("here")
def test_every_kind_of_picture_counts_in_capitals_too() -> None:
    make(*(f"album/{number}{suffix.upper()}" for number, suffix in enumerate(SUFFIXES)))
    assert len(find_pictures([Path("album")])[0]) == len(SUFFIXES)


@pytest.mark.usefixtures("here")
def test_named_file_is_taken_whatever_its_name_is() -> None:
    (diary,) = make("diary")
    assert find_pictures([diary]) == ([diary], Counter())


@pytest.mark.usefixtures("here")
def test_each_file_comes_once_in_the_order_of_the_command_line() -> None:
    a, b = make("album/a.jpg", "album/b.jpg")
    assert find_pictures([b, Path("album"), a])[0] == [b, a]


def test_link_to_a_picture_is_one_and_what_is_no_file_is_not(here: Path) -> None:
    (picture,) = make("elsewhere.jpg")
    (here / "album" / "folder.jpg").mkdir(parents=True)
    (here / "album" / "link.jpg").symlink_to(here / picture)
    (here / "album" / "dangling.jpg").symlink_to("nowhere")
    (here / "album" / "round").symlink_to(here / "album")
    os.mkfifo(here / "album" / "pipe.jpg")
    assert find_pictures([Path("album")])[0] == [Path("album/link.jpg")]


@pytest.mark.usefixtures("here")
def test_path_that_is_not_there_is_refused() -> None:
    make("album/a.jpg")
    with pytest.raises(UsageError, match=r"^missing is not there: name a picture or a folder of pictures$"):
        find_pictures([Path("album"), Path("missing")])


@pytest.mark.usefixtures("here")
def test_name_that_is_longer_than_a_file_may_have_is_refused_with_the_reason() -> None:
    name = "x" * 300
    with pytest.raises(UsageError, match=rf"^{name} cannot be looked at: File name too long$"):
        find_pictures([Path(name)])


@pytest.mark.usefixtures("here")
def test_folders_without_pictures_are_refused_with_what_counts_as_one() -> None:
    make("album/notes.txt", "more/film.mp4")
    with pytest.raises(UsageError, match=r"^album, more holds no pictures \(\.bmp, \.gif, \.jpeg, "):
        find_pictures([Path("album"), Path("more")])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"otters on the beach.jpg", "otters on the beach.jpg"),
        ("狗 🐕 é.jpg".encode(), "狗 🐕 é.jpg"),
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (b"two\nlines\r\t.jpg", r"two\nlines\r\t.jpg"),
        (b"\x1b[31mred\x7f", r"\x1b[31mred\x7f"),
        ("left\u202eright \u2028".encode(), r"left\u202eright \u2028"),
    ],
)
def test_name_is_shown_as_one_printable_line(name: bytes, shown: str) -> None:
    assert printable(Path(os.fsdecode(name))) == shown
    assert shown.isprintable()


@pytest.mark.usefixtures("here")
def test_note_is_taken_where_it_is_named_and_left_out_of_a_folder() -> None:
    (note, picture) = make("album/note.txt", "album/a.jpg")
    assert find_pictures([note, Path("album")]) == ([note, picture], Counter({".txt": 1}))
