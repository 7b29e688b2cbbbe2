"""`report.json`: written whole or not at all, read back as exactly what was written, refused when it is damaged."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import NoReturn

from converter.report.figures import Report
from edge.decode import DecodeError, decode
from edge.errors import UsageError

REPORT_JSON = "report.json"
_AGAIN = "make it again with `reminisce-convert run`"


def write_json(report: Report, path: Path) -> None:
    """Sorted keys, so that two builds can be compared line by line. Raises ValueError for NaN, OSError."""
    text = json.dumps(dataclasses.asdict(report), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    put(path, text + "\n")


def read_report(path: Path) -> Report:
    """The report in a file, or in the folder that a build wrote. Raises UsageError with every problem in it."""
    file = path / REPORT_JSON if path.is_dir() else path
    try:
        return decode(Report, json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse))
    except DecodeError as error:
        raise UsageError("\n".join(f"{file}: {problem}" for problem in (*error.problems, _AGAIN))) from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; name a folder that a build wrote") from None
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise UsageError(f"{file} is damaged: {error}; {_AGAIN}") from None


def put(path: Path, text: str) -> None:
    """Write beside, then move: a full disk or a power cut leaves the old file as it was. Raises OSError."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number")
