"""Notes: a file of text -> what it says. The towers read the beginning, see `TextPreprocess.tokens`."""

from __future__ import annotations

from edge.errors import UnreadableItemError

MAX_NOTE_BYTES = 16 << 10  # some pages; a text tower reads the first tens to hundreds of words
LONGEST_LINE = 200  # characters of what is shown of a note


def read_note(content: bytes) -> str:
    """UTF-8, with or without a byte order mark. Raises UnreadableItemError that says what is wrong."""
    if len(content) > MAX_NOTE_BYTES:
        raise UnreadableItemError(
            f"a note of {len(content)} bytes, {MAX_NOTE_BYTES} at most: split it, each part is found by its beginning"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableItemError("not a note that can be read (no UTF-8): save it as UTF-8") from None
    if "\0" in text:
        raise UnreadableItemError("not a note that can be read (NUL in it): this is no text")
    if not first_line(text):
        raise UnreadableItemError("a note that is blank: write something into it")
    return text


def first_line(text: str) -> str:
    """The first line that is not blank, shortened, without what would move a terminal's cursor."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    line = next((shown for line in lines if (shown := "".join(filter(str.isprintable, line)).strip())), "")
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
