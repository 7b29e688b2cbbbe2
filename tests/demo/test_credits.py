"""Every shipped picture has its author, source and licence in CREDITS.md, and nothing private in the file."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from edge.demo import DEMO_PICTURES

CREDITS = DEMO_PICTURES / "CREDITS.md"
COLUMNS = ("file", "what it shows", "author", "source", "licence", "kind")
# Attribution at most: a clone of this project may be used, changed and sold.
LICENCES = frozenset({"CC0-1.0", "CC-BY-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "public domain"})
KINDS = frozenset({"photograph", "drawing", "render", "painting"})
REGISTRY = re.compile(r"(Debian|PyPI|npm) \S+ \S+: \S+")


@dataclass(frozen=True, slots=True)
class Credit:
    file: str
    shows: str
    author: str
    source: str
    licence: str
    kind: str


def read_credits() -> tuple[Credit, ...]:
    lines = [line for line in CREDITS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    header, _rule, *rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert header == COLUMNS
    return tuple(Credit(*row) for row in rows)


@pytest.fixture(scope="module")
def credit_rows() -> tuple[Credit, ...]:
    return read_credits()


def test_each_picture_has_one_row_and_each_row_a_picture(credit_rows: tuple[Credit, ...]) -> None:
    shipped = sorted(path.name for path in DEMO_PICTURES.iterdir() if path != CREDITS)
    assert sorted(credit.file for credit in credit_rows) == shipped
    assert [credit.file for credit in credit_rows] == sorted(credit.file for credit in credit_rows)


def test_each_row_is_filled(credit_rows: tuple[Credit, ...]) -> None:
    for credit in credit_rows:
        assert "" not in (credit.shows, credit.author, credit.source)
        assert credit.kind in KINDS
        assert REGISTRY.match(credit.source), credit


def test_each_licence_asks_for_attribution_at_most(credit_rows: tuple[Credit, ...]) -> None:
    for credit in credit_rows:
        assert credit.licence.partition(" (")[0] in LICENCES, credit  # a remark may follow in brackets


def test_author_is_named_where_the_licence_asks_for_it(credit_rows: tuple[Credit, ...]) -> None:
    assert [
        credit for credit in credit_rows if credit.licence.startswith("CC-BY") and "not stated" in credit.author
    ] == []


def test_each_licence_text_is_linked(credit_rows: tuple[Credit, ...]) -> None:
    text = CREDITS.read_text(encoding="utf-8")
    used = {credit.licence for credit in credit_rows if credit.licence.startswith("CC")}
    assert [licence for licence in used if f"`{licence}` <https://creativecommons.org/" not in text] == []


def test_there_are_60_pictures_and_30_photographs_at_least(credit_rows: tuple[Credit, ...]) -> None:
    assert len(credit_rows) >= 60
    assert Counter(credit.kind for credit in credit_rows)["photograph"] >= 30


def test_count_at_the_top_is_true(credit_rows: tuple[Credit, ...]) -> None:
    kinds = Counter(credit.kind for credit in credit_rows)
    counts = ", ".join(f"{kinds[kind]} {kind}s" for kind in ("photograph", "drawing", "render", "painting"))
    assert f"\n{len(credit_rows)} pictures: **{counts}.**" in CREDITS.read_text(encoding="utf-8")


def test_no_two_pictures_are_the_same(pictures: list[Path]) -> None:
    assert len({path.read_bytes() for path in pictures}) == len(pictures)


def test_pictures_are_small_rgb_jpegs_without_metadata(pictures: list[Path]) -> None:
    for path in pictures:
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert max(picture.size) <= 320
            assert dict(picture.getexif()) == {}
            assert picture.info.keys() <= {
                "jfif",
                "jfif_version",
                "jfif_unit",
                "jfif_density",
                "progressive",
                "progression",
            }
