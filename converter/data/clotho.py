"""Clotho: sounds of 15 to 30 s with five captions each, official layout (Drossos, Lipping, Virtanen 2020).

clotho_captions_development.csv    file_name,caption_1,...,caption_5; also _validation.csv and _evaluation.csv
development/*.wav                  also validation/ and evaluation/
"""

from __future__ import annotations

from pathlib import Path

from converter.data.listing import Listing, Skipped, Split, join, list_files
from converter.data.tables import read_csv
from edge.errors import UsageError

LAYOUT = "the folder of Clotho that holds clotho_captions_development.csv and development/"
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))
SIDES: dict[str, Split] = {"development": "train", "validation": "validation", "evaluation": "test"}


def list_clotho(folder: Path) -> Listing:
    """The sounds of the parts that are there; a hash decides the sides if development or evaluation is not.

    Raises UsageError.
    """
    tables = {part: folder / f"clotho_captions_{part}.csv" for part in SIDES}
    found = [part for part, table in tables.items() if table.is_file() and (folder / part).is_dir()]
    if not found:
        raise UsageError(f"{folder} has none of {', '.join(SIDES)} with its captions: give {LAYOUT}")
    lost = tuple(Skipped(part, "without its folder or its captions") for part in SIDES if part not in found)
    splits = SIDES if "development" in found else {}
    return join([*(_part(folder / part, tables[part], splits.get(part)) for part in found), Listing((), lost)])


def _part(sounds: Path, table: Path, split: Split | None) -> Listing:
    rows = read_csv(table, LAYOUT, ["file_name", *CAPTIONS])
    texts = {row["file_name"].strip(): [row[caption] for caption in CAPTIONS] for _, row in rows}
    blank = [Skipped(f"{table.name} line {line}", "without a file_name") for line, row in rows if not row["file_name"]]
    texts.pop("", None)
    listing = list_files(sounds, texts, split)
    return Listing(listing.items, (*listing.skipped, *blank))
