"""The contact sheet: a whole HTML page with every answer's picture inside it, and nothing that asks a network."""

from __future__ import annotations

import base64
import io
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.demo.sheet import THUMBNAIL, Answered, write_sheet
from edge.mqtt import Reply, Result

DATA_URL = "data:image/jpeg;base64,"
EMPTY_ELEMENTS = {"meta", "img", "br"}
NAMES = ("<b>&.jpg", '"onerror="alert(1).jpg', "{curly}.jpg", "ünï狗.jpg", "plain.jpg")


class Page(HTMLParser):
    """Reads a page, and fails where its elements are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for *where, value in self.attributes if where == [tag, name]]


@pytest.fixture
def album(pictures: list[Path], tmp_path: Path) -> dict[str, Path]:
    """Five pictures under names that HTML, Python's format and ASCII would each stumble over, by item."""
    folder = tmp_path / "album"
    folder.mkdir()
    files = [Path(shutil.copy(picture, folder / name)) for picture, name in zip(pictures, NAMES, strict=False)]
    return {f"{number:064}": file for number, file in enumerate(files)}


@pytest.fixture
def answers(album: dict[str, Path]) -> list[Answered]:
    """Two questions, with all five pictures in different orders."""
    questions = ("a house", "<script>alert('{0}')</script> & more")
    return [
        answered(question, album, list(album)[first:] + list(album)[:first]) for first, question in enumerate(questions)
    ]


@pytest.fixture
def sheet(answers: list[Answered], tmp_path: Path) -> Path:
    write_sheet(tmp_path / "sheet.html", answers)
    return tmp_path / "sheet.html"


def answered(question: str, files: dict[str, Path], items: list[str]) -> Answered:
    results = tuple(
        Result(
            item=item,
            score=0.9 - 0.123 * rank,
            exit_depth=16 - rank,
            ts=0.0,
            source="",
            modality="image",
            relevance=0.5 / 10**rank if rank < 4 else None,
        )
        for rank, item in enumerate(items)
    )
    reply = Reply(
        results=results,
        searched=5,
        refined=4,
        cut=False,
        took_ms=123.4,
        query_ms=3.4,
        filter_ms=1.0,
        correct_ms=119.0,
    )
    return Answered(question, reply, files)


def files_of(answers: list[Answered]) -> list[Path]:
    """In the order of the page."""
    return [one.files[hit.item] for one in answers for hit in one.reply.results]


def test_every_answer_has_its_thumbnail_inside_the_page(sheet: Path) -> None:
    sources = Page(sheet).values("img", "src")
    assert len(sources) == 10
    for source in sources:
        assert source.startswith(DATA_URL)
        with Image.open(io.BytesIO(base64.b64decode(source.removeprefix(DATA_URL), validate=True))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == THUMBNAIL
            picture.load()


def test_thumbnail_is_of_the_picture_that_its_caption_names(sheet: Path, answers: list[Answered]) -> None:
    page = Page(sheet)
    for source, name, file in zip(page.values("img", "src"), page.values("img", "alt"), files_of(answers), strict=True):
        assert name == file.name
        shown = Image.open(io.BytesIO(base64.b64decode(source.removeprefix(DATA_URL))))
        expected = Image.open(file).resize(shown.size)
        difference = np.asarray(shown, dtype=np.float32) - np.asarray(expected, dtype=np.float32)
        assert np.abs(difference).mean() < 10  # of 255: JPEG once more; two other pictures differ by 50 and more


def test_page_asks_nobody_for_anything(sheet: Path) -> None:
    page = Page(sheet)
    assert {
        value for _, name, value in page.attributes if name in {"src", "href"} if not value.startswith(DATA_URL)
    } == set()
    text = sheet.read_text(encoding="utf-8")
    for outside in ("http:", "https:", "url(", "@import", "<script", "<link", "<iframe"):
        assert outside not in text


def test_names_and_questions_are_shown_as_they_are(sheet: Path, answers: list[Answered]) -> None:
    page = Page(sheet)
    captions = [text for text in page.texts["figcaption"] if text.endswith(".jpg")]
    assert captions == [file.name for file in files_of(answers)]
    assert set(captions) == set(NAMES)
    assert [text.strip() for text in page.texts["h2"]] == [answer.question for answer in answers]
    assert {tag for tag, _, _ in page.attributes} <= {"html", "meta", "img", "div"}  # a name opened no element


def test_page_says_relevance_score_exit_and_milliseconds(sheet: Path) -> None:
    page = Page(sheet)
    facts = [text for text in page.texts["figcaption"] if ", exit at depth " in text]
    assert (
        facts
        == [
            "relevance 50.0 %, score 0.90, exit at depth 16",
            "relevance  5.0 %, score 0.78, exit at depth 15",
            "relevance  0.5 %, score 0.65, exit at depth 14",
            "relevance  0.1 %, score 0.53, exit at depth 13",
            "score 0.41, exit at depth 12",
        ]
        * 2
    )
    assert page.texts["small"] == ["123 ms, 4 of 5 finished"] * 2


@pytest.mark.parametrize("content", [None, b"no picture any more"])
def test_picture_that_cannot_be_shown_any_more_leaves_an_empty_frame(
    content: bytes | None, answers: list[Answered], tmp_path: Path
) -> None:
    gone = files_of(answers)[0]
    gone.unlink() if content is None else gone.write_bytes(content)
    write_sheet(tmp_path / "sheet.html", answers[:1])
    sources = Page(tmp_path / "sheet.html").values("img", "src")
    assert sources[0] == ""
    assert all(source.startswith(DATA_URL) for source in sources[1:])


def test_name_that_is_no_utf8_is_shown_with_its_byte(pictures: list[Path], tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(pictures[0], file)
    write_sheet(tmp_path / "sheet.html", [answered("a house", {"0": file}, ["0"])])
    assert Page(tmp_path / "sheet.html").values("img", "alt") == [r"caf\udce9.jpg"]


def test_no_answers_make_an_empty_page(tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.html", [])
    assert Page(tmp_path / "sheet.html").texts["h1"] == ["Reminisce: answers"]
    assert Page(tmp_path / "sheet.html").values("img", "src") == []


def test_sheet_that_cannot_be_written_leaves_the_one_before_and_nothing_else(
    sheet: Path, answers: list[Answered], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sheet.read_bytes()

    def full(_path: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_sheet(sheet, answers[:1])
    assert sheet.read_bytes() == before
    assert [path.name for path in sheet.parent.glob("sheet*")] == ["sheet.html"]
