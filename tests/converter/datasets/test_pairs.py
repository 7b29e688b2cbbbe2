"""Tables of pairs, CSV and JSON lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from converter.data.listing import Listed, Skipped
from converter.data.pairs import list_pairs
from edge.errors import UsageError
from tiny_data import picture, write, write_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "mine", {name: picture(number) for number, name in enumerate(("a.png", "in/b.png"))})


def test_rows_of_one_item_are_its_texts_in_their_order(folder: Path) -> None:
    write_table(folder / "pairs.csv", ["item", "text"], ["in/b.png", "two"], ["a.png", "one, or so"], ["in/b.png", "2"])
    assert list_pairs(folder).items == (
        Listed(name="in/b.png", source=folder / "in/b.png", texts=("two", "2")),
        Listed(name="a.png", source=folder / "a.png", texts=("one, or so",)),
    )


def test_json_lines_say_the_same_as_the_table(folder: Path) -> None:
    rows = [["a.png", "one", "train"], ["in/b.png", "two", "test"]]
    table = write_table(folder / "a.csv", ["item", "text", "split"], *rows)
    lines = "\n\n".join(json.dumps(dict(zip(("item", "text", "split"), row, strict=True))) for row in rows)
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    assert list_pairs(folder) == list_pairs(table)
    assert [item.split for item in list_pairs(table).items] == ["train", "test"]


def test_spreadsheets_mark_and_columns_of_no_use_do_not_matter(folder: Path) -> None:
    (folder / "pairs.csv").write_text("\ufeffitem,stars,text\na.png,3,one,and more\n", encoding="utf-8")
    assert [item.texts for item in list_pairs(folder).items] == [("one",)]


def test_empty_split_leaves_the_side_to_the_hash(folder: Path) -> None:
    write_table(folder / "pairs.csv", ["item", "text", "split"], ["a.png", "1", "train"], ["in/b.png", "2", ""])
    assert [item.split for item in list_pairs(folder).items] == ["train", None]


def test_splits_without_a_test_side_do_not_count(folder: Path) -> None:
    write_table(
        folder / "pairs.csv", ["item", "text", "split"], ["a.png", "1", "train"], ["in/b.png", "2", "validation"]
    )
    assert [item.split for item in list_pairs(folder).items] == [None, None]


def test_labels_are_names_of_classes(folder: Path) -> None:
    write_table(folder / "pairs.csv", ["item", "label"], ["a.png", "dog"], ["in/b.png", "dog"])
    assert [(item.texts, item.classes) for item in list_pairs(folder).items] == [(("dog",), True)] * 2


def test_rows_without_an_item_a_text_or_a_file_are_skipped_with_their_reason(folder: Path) -> None:
    rows = [["", "nothing"], ["a.png", " "], ["in/b.png", "two"], ["c.png", "three"], ["x" * 300, "a long story"]]
    write_table(folder / "pairs.csv", ["item", "text"], *rows)
    listing = list_pairs(folder)
    assert [item.name for item in listing.items] == ["in/b.png"]
    assert listing.skipped == (
        Skipped("a.png", "without a text"),
        Skipped("c.png", f"not in {folder}"),
        Skipped("x" * 300, f"not in {folder}"),
        Skipped("pairs.csv line 2", "without an item"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "file,text\na.png,one\n",
            "has no column item; its header is 'file,text': give a table with the columns item and",
        ),
        ("", "has no column item; its header is '': give a table with the columns item and text"),
        ("item\na.png\n", "has neither text nor label: text for captions, label for names of classes"),
        ("item,text,label\na.png,1,2\n", "has both text and label: text for captions, label for names of classes"),
        ("item,text,split\na.png,1,dev\n", "line 2: split is 'dev': must be train, validation, test or empty"),
        (
            "item,text,split\na.png,1,test\na.png,2,train\n",
            "line 3: a.png is in 'train', but in another one further up",
        ),
        ("item,text\nb.png,1\nc.png,2\n", "has none of the 2 files that its table names: unpack them there"),
        ("item,text\n" + "x" * 200_000, "is not a CSV table (field larger than field limit (131072), after line 1)"),
    ],
)
def test_table_that_is_not_one_of_pairs_is_refused(folder: Path, text: str, told: str) -> None:
    (folder / "pairs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(told)):
        list_pairs(folder / "pairs.csv")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("item: a.png", "line 2 is not JSON (Expecting value: line 1 column 1 (char 0)): one object a line"),
        ('["a.png", "one"]', 'line 2 has no "item": give objects like {"item": "a.jpg", "text": "a dog"}'),
        ('{"text": "one"}', 'line 2 has no "item": give objects like {"item": "a.jpg", "text": "a dog"}'),
    ],
)
def test_line_that_is_not_one_of_pairs_is_refused_with_its_number(folder: Path, line: str, told: str) -> None:
    table = folder / "pairs.jsonl"
    table.write_text(f'{{"item": "a.png", "text": "one"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        list_pairs(table)
    assert str(caught.value) == f"{table} {told}"


def test_table_in_another_encoding_is_refused_with_the_byte(folder: Path) -> None:
    (folder / "pairs.csv").write_bytes(b"item,text\na.png,caf\xe9\n")
    with pytest.raises(UsageError, match=r"pairs\.csv cannot be read \('utf-8' codec can't decode byte 0xe9"):
        list_pairs(folder)


def test_folder_with_no_table_or_two_is_refused(folder: Path) -> None:
    expected = f"{folder} has 0 of pairs.csv and pairs.jsonl: it must have one, or name the table itself"
    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        list_pairs(folder)
    write(folder, {"pairs.csv": b"", "pairs.jsonl": b""})
    with pytest.raises(UsageError, match=r"has 2 of pairs\.csv and pairs\.jsonl"):
        list_pairs(folder)
