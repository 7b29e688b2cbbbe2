"""The fields of a question or an order that say which items: checked, and read."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Protocol

from edge.items import Meta
from edge.meta import is_text, meta_problems
from edge.mqtt.moments import moment

LONGEST_SOURCE = 1_000
LATEST = 253_402_300_799  # the last second of the year 9999


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
