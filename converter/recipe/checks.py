"""The one way in which a part of a recipe refuses its values."""

from __future__ import annotations

from edge.decode import DecodeError


def require(*checks: tuple[bool, str]) -> None:
    """Raises DecodeError with the text of each check that failed; a text starts with its field."""
    if problems := tuple(problem for holds, problem in checks if not holds):
        raise DecodeError(problems)
