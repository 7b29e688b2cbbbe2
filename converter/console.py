"""What a build says while it runs: one line a step with its time, a bar with time left where a step is long."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm


class Console:
    """Writes to the terminal. `quiet` leaves the bars away, for logs."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the console

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what begins, and how long it took when it ended well."""
        start = time.monotonic()
        self.say(f"{name} ...")
        yield
        self.say(f"{name}: {time.monotonic() - start:.1f} s")

    @contextlib.contextmanager
    def bar(self, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        """A progress bar over `total`; call what it gives with how many are done."""
        with tqdm(total=total, unit=f" {unit}", leave=False, disable=self._quiet, file=sys.stderr) as progress:
            yield progress.update
