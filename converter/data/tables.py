"""Text files and CSV tables of a data set, or one error that says what was expected where."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from edge.errors import UsageError


def read_text(file: Path, layout: str) -> str:
    """The text of a UTF-8 file. layout: what the folder should hold, for the message. Raises UsageError."""
    try:
        return file.read_text(encoding="utf-8-sig")  # spreadsheets write the mark
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{file} cannot be read ({why}): give {layout}") from None


def read_csv(file: Path, layout: str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table under its header with the line where each ends; a cell that is not there is "".

    Raises UsageError, also when one of `columns` is not in the header.
    """
    reader = csv.DictReader(io.StringIO(read_text(file, layout), newline=""), restval="", restkey="")
    try:
        header = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{file} is not a CSV table ({error}, after line {reader.line_num}): give {layout}") from None
    if missing := [column for column in columns if column not in header]:
        raise UsageError(
            f"{file} has no column {' and no column '.join(missing)}; its header is {','.join(header)!r}: give {layout}"
        )
    return rows
