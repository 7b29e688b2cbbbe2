"""`reminisce ask --html`: the answers as a contact sheet."""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path

from edge.adding import smaller
from edge.demo.sheet import Answered, write_sheet
from edge.errors import ReminisceError, UnreadableItemError
from edge.mqtt import Reply

_LARGEST = 64 << 20  # bytes of a file that is shown


def write_html(path: Path, question: str, reply: Reply) -> None:
    """With the pictures whose sources are files here, and still the same. Raises ReminisceError."""
    sources = {hit.item: Path(hit.source) for hit in reply.results if hit.source}
    files = {item: file for item, file in sources.items() if _is(file, item)}
    try:
        write_sheet(path, [Answered(question, reply, files)])
    except OSError as error:
        raise ReminisceError(f"{path} cannot be written ({error.strerror}): name another with --html") from None


def _is(file: Path, item: str) -> bool:
    """Whoever sent the item chose its source: it may be a pipe that never ends, or another IMG_0001.jpg.

    What was too large for one message is remembered as a smaller picture.
    """
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return False
        content = file.read_bytes()
        return any(hashlib.sha256(form).hexdigest() == item for form in chain([content], smaller(content)))
    except (OSError, UnreadableItemError):  # a name that is too long, a file that may not be read, no picture
        return False
