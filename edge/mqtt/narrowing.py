"""The fields of a question or an order that say which items: checked, and read."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Protocol

from edge.items import Meta
from edge.mqtt.moments import moment

LONGEST_SOURCE = 1_000
LONGEST_VALUE = 256  # characters of metadata
MOST_META = 16  # keys of a message, and of an item
LATEST = 253_402_300_799  # the last second of the year 9999


_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Narrowed(Protocol):
    """A message that narrows; see PROTOCOL.md, Query."""

    @property
    def since(self) -> float | str | None: ...
    @property
    def until(self) -> float | str | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def meta(self) -> Mapping[str, str] | None: ...


def time_problems(value: float | None, name: str = "ts") -> list[str]:
    """What is wrong with seconds of Unix time; nothing where there are none."""
    if value is None or 0 <= value <= LATEST:  # false for NaN, too
        return []
    return [f"{name} is {value}: must be seconds of Unix time, 0 to {LATEST}"]


def span(message: Narrowed) -> tuple[float | None, float | None]:
    """Its `since` and `until`. Raises ValueError where a time cannot be read."""
    since = None if message.since is None else moment(message.since, is_end=False)
    return since, None if message.until is None else moment(message.until, is_end=True)


def narrowing_problems(message: Narrowed) -> list[str]:
    """What is wrong with it."""
    problems = _moment_problems("since", message.since) + _moment_problems("until", message.until)
    if message.source is not None and not _is_source(message.source):
        problems.append(f"source must be Unicode text of 1 to {LONGEST_SOURCE} characters, none of them NUL")
    if message.meta is not None and not message.meta:
        problems.append("meta has no keys: name one or more")  # it would mean all there is
    return problems + meta_problems(message.meta)


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


def pairs(meta: Mapping[str, str] | None) -> Meta:
    """As it travels inside."""
    return tuple(sorted((meta or {}).items()))


def _moment_problems(name: str, value: float | str | None) -> list[str]:
    try:
        if value is not None:
            moment(value, is_end=name == "until")
    except ValueError as error:
        return [f"{name} {error}"]
    return []


def is_sha256(text: str) -> bool:
    """In hex."""
    return len(text) == 64 and set(text) <= set(string.hexdigits)


def _is_source(text: str) -> bool:
    return 0 < len(text) <= LONGEST_SOURCE and is_text(text)


def is_text(text: str) -> bool:
    """Whether it can be stored and compared: it has neither NUL, where a pattern ends, nor half a surrogate pair."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
