"""What metadata may be, wherever it comes in: with a message, a command, or the file of another memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

LONGEST_VALUE = 256  # characters
MOST_META = 16  # keys of a message, and of an item: what is sent again and again must not make it grow for ever
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def meta_problems(meta: Mapping[str, str] | None) -> list[str]:
    """What is wrong with metadata; nothing where there is none."""
    if meta is None:
        return []
    if len(meta) > MOST_META:
        return [f"meta has {len(meta)} keys: {MOST_META} at most"]
    problems = [
        f"meta has the key {key[:80]!r}: must be 1 to 64 of A-Z, a-z, 0-9, _, . and -"
        for key in meta
        if not _KEY.fullmatch(key)
    ]
    return problems + [
        f"meta.{key[:64]} must be Unicode text of at most {LONGEST_VALUE} characters, none of them NUL"
        for key, value in meta.items()
        if len(value) > LONGEST_VALUE or not is_text(value)
    ]


def is_text(text: str) -> bool:
    """Half a surrogate pair cannot be compared with what is stored; at NUL a pattern ends, and `*` would be left."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
