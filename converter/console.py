"""What a build says while it runs: one line a step with its time; where a step is long, how much of it is left."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

LIFE_S = 30.0  # more often fills a log, more seldom looks like a hang


class Console:
    """Writes to standard error: bars on a terminal; if `quiet`, a line every `life_s` seconds, for logs."""

    def __init__(self, *, quiet: bool, life_s: float = LIFE_S) -> None:
        self._quiet = quiet
        self._life_s = life_s
        self._step = ""

    def say(self, text: str) -> None:
        """One line; a bar that is on the terminal goes on below it."""
        with tqdm.external_write_mode(file=sys.stderr):
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the console

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what begins, and how long it took when it ended well."""
        start = time.monotonic()
        self.say(f"{name} ...")
        outer, self._step = self._step, name
        try:
            yield
        finally:
            self._step = outer
        self.say(f"{name}: {duration(time.monotonic() - start)}")

    @contextlib.contextmanager
    def bar(self, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        """Progress over `total`; call what it gives with how many more are done."""
        if self._quiet:
            yield _Life(self.say, self._step, total, unit, self._life_s).update
            return
        bar = tqdm(total=total, unit=f" {unit}", leave=False, dynamic_ncols=True, unit_scale=total >= 10**6)
        with bar as progress:
            yield progress.update


class _Life:
    """Says now and then how far the work is."""

    def __init__(self, say: Callable[[str], object], step: str, total: int, unit: str, life_s: float) -> None:
        self._say, self._step, self._total, self._unit, self._life_s = say, step, total, unit, life_s
        self._done, self._start = 0, time.monotonic()
        self._said = self._start

    def update(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if now - self._said < self._life_s or not 0 < self._done < self._total:
            return
        self._said = now
        left = (now - self._start) / self._done * (self._total - self._done)
        self._say(f"{self._step}: {self._done}/{self._total} {self._unit}, {duration(left)} left")


def duration(seconds: float) -> str:
    """For people: "3.2 s", "4 min 10 s", "1 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
