"""Waiting for what another thread or process does: as short as it takes, and with a word on what did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 20.0  # for a slow and busy machine


def wait_until(
    condition: Callable[[], object], what: str | Callable[[], str] = "what the test waits for", seconds: float = SECONDS
) -> None:
    """Return once the condition holds. Raises AssertionError naming `what`, or what that returns, when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"within {seconds:.0f} s not: {what if isinstance(what, str) else what()}")
        time.sleep(0.005)
