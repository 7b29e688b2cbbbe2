"""The contact sheet: a whole HTML page with every answer's picture inside it, and nothing that asks a network."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.config import Config
from edge.demo.sheet import THUMBNAIL, write_sheet
from edge.engine import Engine
from edge.items import Answer, Item

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
def engine(pictures: list[Path], tmp_path: Path) -> Iterator[Engine]:
    """Five pictures under names that HTML, Python's format and ASCII would each stumble over."""
    folder = tmp_path / "album"
    folder.mkdir()
    files = [Path(shutil.copy(picture, folder / name)) for picture, name in zip(pictures, NAMES, strict=False)]
    with Engine(Config(), tmp_path / "state") as engine:
        assert {outcome.state for outcome in engine.remember(files)} == {"remembered"}
        yield engine


@pytest.fixture
def answers(engine: Engine) -> list[Answer]:
    return [engine.ask(question) for question in ("a house", "<script>alert('{0}')</script> & more")]


@pytest.fixture
def sheet(engine: Engine, answers: list[Answer], tmp_path: Path) -> Path:
    write_sheet(tmp_path / "sheet.html", answers, engine.memory)
    return tmp_path / "sheet.html"


def lose(item: Item, tmp_path: Path) -> None:
    (tmp_path / "state" / "content" / item.digest.hex()[:2] / item.digest.hex()).unlink()


def test_every_answer_has_its_thumbnail_inside_the_page(sheet: Path, answers: list[Answer]) -> None:
    sources = Page(sheet).values("img", "src")
    assert len(sources) == sum(len(answer.hits) for answer in answers) == 10
    for source in sources:
        assert source.startswith(DATA_URL)
        with Image.open(io.BytesIO(base64.b64decode(source.removeprefix(DATA_URL), validate=True))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == THUMBNAIL
            picture.load()


def test_thumbnail_is_of_the_picture_that_its_caption_names(sheet: Path, answers: list[Answer], engine: Engine) -> None:
    page = Page(sheet)
    hits = [hit for answer in answers for hit in answer.hits]
    for source, name, hit in zip(page.values("img", "src"), page.values("img", "alt"), hits, strict=True):
        assert name == Path(hit.item.source).name
        content = engine.memory.content(hit.item)
        assert content is not None
        shown = Image.open(io.BytesIO(base64.b64decode(source.removeprefix(DATA_URL))))
        expected = Image.open(io.BytesIO(content)).resize(shown.size)
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


def test_names_and_questions_are_shown_as_they_are(sheet: Path, answers: list[Answer]) -> None:
    page = Page(sheet)
    captions = [text for text in page.texts["figcaption"] if text.endswith(".jpg")]
    assert captions == [Path(hit.item.source).name for answer in answers for hit in answer.hits]
    assert set(captions) == set(NAMES)
    assert [text.strip() for text in page.texts["h2"]] == [answer.question for answer in answers]
    assert {tag for tag, _, _ in page.attributes} <= {"html", "meta", "img", "div"}  # a name opened no element


def test_page_says_score_exit_and_milliseconds(sheet: Path, answers: list[Answer]) -> None:
    page = Page(sheet)
    facts = [text for text in page.texts["figcaption"] if text.startswith("score ")]
    assert facts == [f"score {hit.score:.2f}, exit at depth {hit.depth}" for answer in answers for hit in answer.hits]
    assert page.texts["small"] == [f"{answer.total_ms:.0f} ms, 5 of 5 finished" for answer in answers]


def test_picture_whose_content_is_gone_leaves_an_empty_frame(
    engine: Engine, answers: list[Answer], tmp_path: Path
) -> None:
    lose(answers[0].hits[0].item, tmp_path)
    write_sheet(tmp_path / "sheet.html", answers[:1], engine.memory)
    sources = Page(tmp_path / "sheet.html").values("img", "src")
    assert sources[0] == ""
    assert all(source.startswith(DATA_URL) for source in sources[1:])


def test_no_answers_make_an_empty_page(engine: Engine, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.html", [], engine.memory)
    assert Page(tmp_path / "sheet.html").texts["h1"] == ["Reminisce: answers"]
    assert Page(tmp_path / "sheet.html").values("img", "src") == []
