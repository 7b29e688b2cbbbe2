"""Meme tables: pictures with the words on them, titles, captions; layout of Memotion 7k (Sharma et al. 2020).

labels.csv    the one .csv of the folder, or name the table itself
images/       the pictures; they may also lie beside the table

Public tables agree on no names, so the first column there of each list counts:

picture    image_name, image, img, filename, file_name, file
words      text_corrected, text_ocr, text, ocr
also       title, caption: both are further texts of the picture
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converter.data.listing import Listing, Skipped, join, list_files
from converter.data.tables import read_csv
from edge.errors import UsageError

LAYOUT = "a table of memes with a picture and its words in each row"
PICTURE = ("image_name", "image", "img", "filename", "file_name", "file")
WORDS = ("text_corrected", "text_ocr", "text", "ocr")
ALSO = ("title", "caption")


def list_memes(path: Path) -> Listing:
    """The pictures of a table; several rows may name one picture. Raises UsageError."""
    table = _table(path)
    rows = read_csv(table, LAYOUT, [])
    header = list(rows[0][1]) if rows else []
    picture, words = _first(header, PICTURE), _first(header, WORDS)
    told = [column for column in (*ALSO, words) if column in header]
    if not picture or not told:
        raise UsageError(
            f"{table} has the columns {','.join(header)!r}: one of {', '.join(PICTURE)} must name the picture,"
            f" and one of {', '.join((*WORDS, *ALSO))} hold its text"
        )
    texts: dict[str, list[str]] = {}
    for _, row in rows:
        # Titles have line ends in them where the words on the picture have.
        texts.setdefault(row[picture].strip(), []).extend(" ".join(row[column].split()) for column in told)
    blank = [
        Skipped(f"{table.name} line {line}", f"without {picture}") for line, row in rows if not row[picture].strip()
    ]
    texts.pop("", None)
    images = table.parent / "images"
    return join([list_files(images if images.is_dir() else table.parent, texts), Listing((), tuple(blank))])


def _table(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.csv"))
    if len(found) != 1:
        raise UsageError(f"{path} has {len(found)} .csv tables: it must have one, or name the table itself")
    return found[0]


def _first(header: Sequence[str], columns: Sequence[str]) -> str:
    return next((column for column in columns if column in header), "")
