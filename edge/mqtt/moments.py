"""A moment as a person writes it: Unix time, a day, or ISO 8601."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LATEST = 253_402_300_799  # the last second of the year 9999
MEANT = "seconds of Unix time, a day like 2026-07-01, or a time like 2026-07-01T18:30 or 2026-07-01T18:30:00+02:00"


def moment(value: float | str, *, is_end: bool) -> float:
    """Seconds of Unix time. What names no time zone is in this device's; a day starts and ends at midnight there.

    is_end: of a span: a day is meant whole, so that it ends with the next midnight
    Raises ValueError with what is allowed.
    """
    try:
        seconds = _read(value, is_end=is_end) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= _LATEST:  # true for NaN, too
        raise ValueError(f"is {repr(value)[:60]}: must be {MEANT}")
    return seconds


def _read(text: str, *, is_end: bool) -> float:
    text = text.strip()
    if _DAY.fullmatch(text):
        # A day, not 24 hours: where clocks change it has 23 or 25.
        return (datetime.fromisoformat(text) + timedelta(days=int(is_end))).timestamp()
    # Python 3.10 does not read Z.
    return datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in {"Z", "z"} else text).timestamp()
