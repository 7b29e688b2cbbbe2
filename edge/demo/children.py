"""The tour's children: each has an owner from its first moment on, is up before it is used, and ends with its block."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ReminisceError
from edge.signals import signals_held

_START_S = 60  # for a slow and busy board
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Child:
    """A program that runs. name: for messages; log: all that it said."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, is_up: Callable[[], bool]) -> None:
        """Raises ReminisceError, with the last line of the log, when it ends before or does not come up."""
        end = time.monotonic() + _START_S
        while not is_up():
            if self.process.poll() is not None:
                raise ReminisceError(f"the {self.name} ended: {self._last_words()}")
            if time.monotonic() > end:
                raise ReminisceError(f"the {self.name} did not come up within {_START_S} s: {self._last_words()}")
            time.sleep(0.01)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def running(name: str, command: list[str], folder: Path) -> Iterator[Child]:
    """A child that ends with the block: told to, and killed if it does not. Its log lies in `folder`."""
    log = folder / f"{name}.log"
    # Killed ourselves, we cannot end it; the kernel does it then.
    tied_to_us = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with ExitStack() as stack:
        with log.open("wb") as output, signals_held():
            # Ctrl-C in a terminal reaches the child only through us. It imports what we do: the folder of the user may
            # hold a `queue.py`, and `python -m` looks there first.
            child = subprocess.Popen(  # noqa: S603 - our own programs
                [*tied_to_us, *command],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            stack.callback(_end, child)
        yield Child(name, child, log)


def _end(child: subprocess.Popen[bytes]) -> None:
    with signals_held():
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
