"""Twenty questions about the shipped pictures, written before any model saw them; `questions.tsv` beside this file.

question: what a person would type
pictures: file names of right answers, separated by spaces
plain:    "yes" where neither an ImageNet class, nor a file name or caption of a right picture gives it away
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from converter.data.class_texts import load_class_texts
from edge.config import Config
from edge.demo import DEMO_PICTURES
from edge.engine import Engine
from edge.items import Question

TABLE = Path(__file__).parent / "questions.tsv"
HEADER = "question\tpictures\tplain"
STOP_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "out", "over", "the", "to", "up", "with"}
)
BEST = 3  # a right picture among these counts
ENOUGH = 14


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    pictures: tuple[str, ...]
    plain: bool


def read_questions() -> tuple[Row, ...]:
    header, *lines = TABLE.read_text(encoding="utf-8").splitlines()
    assert header == HEADER
    rows = [line.split("\t") for line in lines]
    assert {plain for _, _, plain in rows} <= {"yes", "no"}
    return tuple(Row(text, tuple(pictures.split()), plain == "yes") for text, pictures, plain in rows)


QUESTIONS = read_questions()


@pytest.fixture(scope="module")
def engine(
    pictures: list[Path], tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Engine, list[Path]], object]
) -> Iterator[Engine]:
    """All shipped pictures, remembered by the default settings."""
    with Engine(Config(), tmp_path_factory.mktemp("state")) as engine:
        fill(engine, pictures)
        assert sum(engine.memory.tally.exits.values()) == len(pictures)
        yield engine


def words(text: str) -> set[str]:
    """Its words without stop words, in lower case, plural or not."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z]+", text.lower())} - STOP_WORDS


def rank_of_best(engine: Engine, question: Row) -> int:
    """The place of the first right picture, from 1; the answer is as long as it can be, so that there is one."""
    answer = engine.retriever.ask(Question(text=question.text, limit=len(list(DEMO_PICTURES.glob("*.jpg")))))
    names = [Path(hit.item.source).name for hit in answer.hits]
    return next(rank for rank, name in enumerate(names, 1) if name in question.pictures)


def test_there_are_twenty_questions_and_half_of_them_are_plain() -> None:
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS) == 20
    assert sum(question.plain for question in QUESTIONS) >= 10


def test_right_answers_ship() -> None:
    for question in QUESTIONS:
        assert question.pictures
        assert [name for name in question.pictures if not (DEMO_PICTURES / name).is_file()] == []


@pytest.mark.parametrize("question", [question for question in QUESTIONS if question.plain], ids=lambda q: q.text)
def test_plain_question_names_no_class_that_the_image_tower_was_taught(question: Row) -> None:
    spaced = f" {' '.join(re.findall('[a-z]+', question.text.lower()))} "
    names = {" ".join(re.findall("[a-z]+", text.name.lower())) for text in load_class_texts()}
    assert len(names) > 900
    assert [name for name in names if f" {name} " in spaced] == []


@pytest.mark.parametrize("question", [question for question in QUESTIONS if question.plain], ids=lambda q: q.text)
def test_plain_question_shares_no_word_with_its_right_pictures(question: Row) -> None:
    rows = re.findall(r"^\| (\S+\.jpg) \| ([^|]+) \|", (DEMO_PICTURES / "CREDITS.md").read_text("utf-8"), re.MULTILINE)
    captions = dict(rows)
    for name in question.pictures:
        assert words(question.text) & (words(name.removesuffix(".jpg")) | words(captions[name])) == set()


def test_question_that_is_not_plain_would_not_pass_as_plain() -> None:
    dog = next(question for question in QUESTIONS if question.text == "dog")
    assert words(dog.text) & words("dogs-at-the-window")


@pytest.mark.slow
def test_at_least_14_questions_have_a_right_picture_among_the_best_3(engine: Engine) -> None:
    ranks = {question: rank_of_best(engine, question) for question in QUESTIONS}
    for question, rank in ranks.items():
        print(f"{rank:>3}  {question.text}{'' if question.plain else '  (not plain)'}")  # noqa: T201
    found = [question for question, rank in ranks.items() if rank <= BEST]
    print(f"{len(found)} of {len(QUESTIONS)} among the best {BEST}")  # noqa: T201
    assert len(found) >= ENOUGH
