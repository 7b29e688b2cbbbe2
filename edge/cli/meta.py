"""`--meta key=value` of the command line."""

from __future__ import annotations

import argparse

from edge.meta import meta_problems


def pair(text: str) -> tuple[str, str]:
    """One key and its value, which may hold `=`. Raises ArgumentTypeError."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: must be KEY=VALUE, as place=Kyoto")
    if problems := meta_problems({key: value}):
        raise argparse.ArgumentTypeError(problems[0])
    return key, value
