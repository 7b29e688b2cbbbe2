"""Signals at moments when nothing must be interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed


@contextmanager
def signals_held() -> Iterator[None]:
    """What comes in between is handled on leaving; for the main thread.

    A child that is half started has no owner yet, a folder that is half deleted none any more; and an import can
    swallow the exception that a handler raises, and with it the signal.
    """
    came: list[int] = []
    before = [(number, signal.signal(number, lambda number, _frame: came.append(number))) for number in STOPPING]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
