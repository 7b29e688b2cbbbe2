"""Notes: what is one, what is not and why, and what is shown of it."""

from __future__ import annotations

import pytest

from edge.errors import UnreadableItemError
from edge.runtime import MAX_NOTE_BYTES, first_line, read_note


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"buy milk", "buy milk"),
        ("Gr\u00fc\u00dfe, \u4f60\u597d \N{DOG FACE}\n".encode(), "Gr\u00fc\u00dfe, \u4f60\u597d \N{DOG FACE}\n"),
        (b"\xef\xbb\xbffrom an editor", "from an editor"),  # a byte order mark is no part of it
        (b"x" * MAX_NOTE_BYTES, "x" * MAX_NOTE_BYTES),
    ],
)
def test_note_is_read_as_it_was_written(content: bytes, text: str) -> None:
    assert read_note(content) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a note that is blank: write something into it"),
        (b" \n\t\r\n", "blank"),
        (b"\xe2\x80\x8b\x07", "blank"),  # nothing of it can be seen
        (b"\xff\xd8\xff\xe0 JFIF", r"no UTF-8\): save it as UTF-8"),
        ("caf\u00e9".encode("latin-1"), "no UTF-8"),
        (b"\xed\xa0\x80", "no UTF-8"),  # half a surrogate pair
        (b"\0\0\0\0", r"NUL in it\): this is no text"),
        (b"x" * (MAX_NOTE_BYTES + 1), f"a note of {MAX_NOTE_BYTES + 1} bytes, {MAX_NOTE_BYTES} at most: split it"),
    ],
)
def test_what_is_no_note_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableItemError, match=reason):
        read_note(content)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\n  # Parking  \nlevel 3", "# Parking"),
        ("a\tb\x1b[31mred", "a b[31mred"),  # nothing that a terminal obeys
        ("a\u2028b", "a"),
        ("w" * 300, "w" * 199 + "\u2026"),
    ],
)
def test_first_line_is_short_and_harmless(text: str, line: str) -> None:
    assert first_line(text) == line
