"""Pairs of your own: a table that names a file and a text in each row; several rows may name one file.

pairs.csv      the columns `item` and `text`, and if you like `split`
pairs.jsonl    one object a line with the same keys

`item` is a path seen from the table. `label` in place of `text` holds the name of a class: it may be on all sides,
where a text is kept on one side only. `split` is train, validation or test, or empty: a hash decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from converter.data.listing import Listing, Skipped, Split, join, list_files
from converter.data.tables import read_csv, read_text
from edge.errors import UsageError

TABLES = ("pairs.csv", "pairs.jsonl")
LAYOUT = "a table with the columns item and text"
SPLITS: dict[str, Split | None] = {"": None, "train": "train", "validation": "validation", "test": "test"}
Row = tuple[int, dict[str, str]]


def list_pairs(path: Path) -> Listing:
    """The items of a table, or of the one in a folder. Raises UsageError."""
    table = _table(path)
    rows = list(_json_rows(table)) if table.suffix == ".jsonl" else read_csv(table, LAYOUT, ["item"])
    words = _text_column(table, rows)
    blank = [Skipped(f"{table.name} line {line}", "without an item") for line, row in rows if not row["item"].strip()]
    named = [(line, row) for line, row in rows if row["item"].strip()]
    splits = _splits(table, named)
    texts: dict[str, list[str]] = {item: [] for item in splits}
    for _, row in named:
        texts[row["item"].strip()].append(row.get(words, ""))
    files = list_files(table.parent, texts, classes=words == "label")
    items = tuple(replace(item, split=splits[item.name]) for item in files.items)
    return join([Listing(items, (*files.skipped, *blank))])


def _table(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in TABLES if (path / name).is_file()]
    if len(found) != 1:
        raise UsageError(
            f"{path} has {len(found)} of {' and '.join(TABLES)}: it must have one, or name the table itself"
        )
    return found[0]


def _json_rows(table: Path) -> Iterator[Row]:
    for line, text in enumerate(read_text(table, LAYOUT).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"{table} line {line} is not JSON ({error}): one object a line") from None
        if not isinstance(row, dict) or not isinstance(row.get("item"), str):
            raise UsageError(
                f'{table} line {line} has no "item": give objects like {{"item": "a.jpg", "text": "a dog"}}'
            )
        yield line, {key: value if isinstance(value, str) else "" for key, value in row.items()}


def _text_column(table: Path, rows: Sequence[Row]) -> str:
    found = [column for column in ("text", "label") if any(column in row for _, row in rows)]
    if len(found) != 1:
        both = "has both text and label" if found else "has neither text nor label"
        raise UsageError(f"{table} {both}: text for captions, label for names of classes")
    return found[0]


def _splits(table: Path, rows: Sequence[Row]) -> dict[str, Split | None]:
    """The split of each item, in the order in which items first occur."""
    splits: dict[str, Split | None] = {}
    for line, row in rows:
        item, named = row["item"].strip(), row.get("split", "").strip()
        if named not in SPLITS:
            raise UsageError(f"{table} line {line}: split is {named!r}: must be train, validation, test or empty")
        if splits.setdefault(item, SPLITS[named]) != SPLITS[named]:
            raise UsageError(
                f"{table} line {line}: {item} is in {named or 'no split'!r}, but in another one further up"
            )
    return splits
