"""An item named on the command line: by its id, or by a file with its bytes, which need not be remembered."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.adding import shrink
from edge.errors import RefusedError, UsageError
from edge.mqtt import SHORT_BYTES, Requester, encode

_AROUND_BYTES = 512  # of JSON around the picture


@dataclass(frozen=True, slots=True)
class Example:
    """Its SHA-256 in hex; content: of the file that was named, None where it was an id."""

    item: str
    content: bytes | None = None


def read_example(text: str) -> Example:
    """An id, or else a file. Raises UsageError."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return Example(text.lower())
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        raise UsageError(f"{text!r} is no item and no file ({error.strerror})") from None
    return Example(hashlib.sha256(content).hexdigest(), content)


def replies(
    client: Requester, fields: Mapping[str, Any], example: Example | None, timeout_s: float
) -> Iterator[dict[str, Any]]:
    """To a question: the example goes as its id where the device has it, else as a picture small enough for a question.

    Raises what `Requester.stream` raises, UnreadableItemError.
    """
    topic = client.topics.query
    if example is None:
        yield from client.stream(topic, fields, timeout_s)
        return
    try:
        yield from client.stream(topic, {**fields, "like": example.item}, timeout_s)
    except RefusedError as error:  # the first reply and the last
        if error.code != "not_found" or example.content is None:
            raise
        room = (SHORT_BYTES - _AROUND_BYTES - len(encode(fields))) * 3 // 4
        small = example.content if len(example.content) <= room else shrink(example.content, room)
        yield from client.stream(topic, {**fields, "image": base64.b64encode(small).decode()}, timeout_s)
