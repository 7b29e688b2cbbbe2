"""Engines to be killed: each forked off a process that has loaded everything, so that a life begins at once.

A life is a real process with all the engine's threads, only without a broker: it is offered one picture after another,
and writes down what it is told of each. In a mapped file it shows what it is at, so that it is known where a kill fell.

    with Victims(tmp_path) as victims:
        life = victims.begin(first=0)
        life.wait_for("commit")
        fell = life.kill()
        print(fell.places, fell.said)
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edge.config import Config, IndexConfig, RememberConfig
from edge.demo import DEMO_PICTURES
from edge.engine import Engine, Hooks
from edge.items import Offer, Outcome, Verdict
from edge.memory import Activations, Memory, MemoryIndex, annoy_is_installed, memory
from edge.memory.disk.content import ContentStore
from edge.memory.index import Limits
from edge.memory.rows import accepting, demand_rows, transaction
from edge.recall import follower
from edge.remember import Inbox, Intake, writing
from edge.remember.writing import Writing
from edge.runtime import Interpreters
from programs import program
from publishers import distinct

# What a life may be at, several at a time: each of its threads does something.
PLACES = (
    "opening",  # until its threads run
    "arriving",  # the bytes are looked at, before anything is written
    "accepting",  # content and rows of a group are written
    "content",  # a file of raw content
    "commit",  # SQLite makes a transaction durable
    "decode",
    "segment",  # a TFLite file runs
    "writer",  # embeddings, then activations
    "cache",  # an activation
    "index",  # it follows the memory
    "sealing",  # a process of its own makes new files
)
EVERY_S = 0.005  # between two offers, in the mean: about as fast as they are embedded
AGAIN = 8  # what was offered last before a kill is offered again: some of it was accepted, some was not
BATCH = 2
PATIENCE_S = 20.0
_ROOT = Path(__file__).resolve().parents[1]
_SMALL = functools.partial(Limits, shortest_tail=24, longest_tail=200)
_FOREST_FROM = 200
_PR_SET_PDEATHSIG = 1


class Box:
    """One byte a place, in a file that both sides map."""

    def __init__(self, path: Path) -> None:
        path.touch()
        os.truncate(path, len(PLACES))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), len(PLACES))

    def clear(self) -> None:
        self._bytes[:] = bytes(len(PLACES))

    def turn(self, place: str, *, on: bool) -> None:
        self._bytes[PLACES.index(place)] = on

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        self.turn(place, on=True)
        yield
        self.turn(place, on=False)

    def places(self) -> tuple[str, ...]:
        return tuple(place for place, is_on in zip(PLACES, self._bytes[:], strict=True) if is_on)

    def around(self, owner: Any, name: str, place: str) -> None:
        """From now on, each call of a method is shown."""
        whole = getattr(owner, name)

        @functools.wraps(whole)
        def shown(*arguments: Any, **options: Any) -> Any:
            with self.at(place):
                return whole(*arguments, **options)

        setattr(owner, name, shown)


@dataclass(frozen=True, slots=True)
class Fell:
    """Where a kill fell, and what the life had said: `accepted`, `duplicate` and `indexed` with the picture's number.

    offered: pictures that it came to offer; ended: it had done all that it was to do, and was not killed
    """

    places: tuple[str, ...]
    said: list[tuple[str, int]]
    offered: int
    ended: bool

    def numbers(self, *states: str) -> set[int]:
        return {number for state, number in self.said if state in states}


class Life:
    """One process, from `Victims.begin` on."""

    def __init__(self, pid: int, box: Box, report: Path, reap: Callable[[], int]) -> None:
        self._pid, self._box, self._report, self._reap = pid, box, report, reap

    def wait_for(self, place: str) -> None:
        """Return as soon as it is there. Raises AssertionError."""
        until = time.monotonic() + PATIENCE_S
        while place not in self._box.places():
            assert time.monotonic() < until, f"it never came to {place}"
            time.sleep(0.0001)

    def kill(self) -> Fell:
        """End it at once."""
        os.kill(self._pid, signal.SIGKILL)
        return self.end()

    def end(self) -> Fell:
        """Wait until it ended by itself, or of a kill. Raises AssertionError when it ended otherwise."""
        status = self._reap()
        assert status in {0, -signal.SIGKILL}, f"it ended with {status}"
        lines = [line.split() for line in self._report.read_text(encoding="ascii").split("\n")[:-1]]
        said = [(state, int(number)) for state, number in lines if state != "offered"]
        offered = [int(number) for state, number in lines if state == "offered"]
        return Fell(self._box.places(), said, max(offered, default=-1) + 1, ended=status == 0)


class Victims:
    """A context manager: the process that lives are forked off runs in between. All lives share one state folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self._report, self._box_file = folder / "report", folder / "box"
        self._box = Box(self._box_file)

    def __enter__(self) -> Victims:
        ours = {**os.environ, "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_ROOT / "tests"))), **_ONE_THREAD}
        tied_to_us = [program("setpriv", "util-linux"), "--pdeathsig", "KILL"]
        self._process = subprocess.Popen(
            [*tied_to_us, sys.executable, __file__], env=ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, first: int, last: int | None = None) -> Life:
        """Start one that offers the pictures from number `first` on; up to `last`, and ends then, or for ever."""
        self._box.clear()
        self._report.write_bytes(b"")
        job = {"state": str(self.state), "report": str(self._report), "box": str(self._box_file)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "first": first, "last": last}) + "\n")
        self._process.stdin.flush()
        return Life(self._read(), self._box, self._report, self._read)

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads must not be forked


def show(box: Box) -> None:
    """The real engine; only what it is at can be seen from outside."""

    @contextmanager
    def aloud(rows: Any, whole: Any = transaction.atomic) -> Iterator[None]:
        with whole(rows):
            yield
            box.turn("commit", on=True)
        box.turn("commit", on=False)

    for module in (memory, accepting, demand_rows):
        setattr(module, "atomic", aloud)  # noqa: B010 - not a name that they export
    box.around(Inbox, "_arrive", "arriving")
    box.around(Memory, "_accept", "accepting")
    box.around(ContentStore, "put", "content")
    box.around(Intake, "_decode", "decode")
    box.around(Interpreters, "run", "segment")
    box.around(Writing, "write", "writer")
    box.around(Activations, "put", "cache")
    box.around(MemoryIndex, "follow", "index")


def watch(box: Box, index: Callable[[], int | None]) -> None:
    """Whether there is a process that seals."""
    while True:
        box.turn("sealing", on=index() is not None)
        time.sleep(0.001)


def _contents() -> Iterator[bytes]:
    return distinct(sorted(DEMO_PICTURES.glob("*.jpg")))


def live(job: dict[str, Any]) -> None:
    """One life. Reports are written past every buffer: what is written is not lost with the process."""
    box, report = Box(Path(job["box"])), os.open(job["report"], os.O_WRONLY | os.O_APPEND)

    def say(state: str, number: object) -> None:
        os.write(report, f"{state} {number}\n".encode())

    def told(outcome: Outcome) -> None:
        say(outcome.state, outcome.item.source)

    def failed(error: BaseException) -> None:
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)

    def settled(number: int, verdict: Verdict) -> None:
        say(verdict.state, number)
        unsettled.discard(number)

    unsettled: set[int] = set()
    show(box)
    box.turn("opening", on=True)
    remember, index = RememberConfig(batch=BATCH, min_free_mb=1), IndexConfig(annoy_from=_FOREST_FROM)
    hooks = Hooks(on_outcome=told, failed=failed)
    with Engine(Config(remember=remember, index=index), Path(job["state"]), hooks) as engine:
        engine.start()
        box.turn("opening", on=False)
        builds = engine.retriever._filtering._index
        threading.Thread(target=watch, args=(box, lambda: builds.builder_pid), daemon=True).start()
        last = sys.maxsize - 1 if job["last"] is None else job["last"]
        for number, content in itertools.islice(enumerate(_contents()), job["first"], last + 1):
            say("offered", number)
            unsettled.add(number)
            offer = Offer(content=content, source=str(number))
            while not engine.inbox.offer(offer, functools.partial(settled, number)):
                time.sleep(EVERY_S)
            if job["last"] is None:
                time.sleep(random.expovariate(1 / EVERY_S))
        while unsettled or engine.memory.tally.waiting:
            time.sleep(EVERY_S)


def main() -> None:
    setattr(memory, "IndexLimits", _SMALL)  # noqa: B010 - not a name that it exports
    follower._EVERY_S, writing.GATHER_S = 0.02, 0.1
    assert annoy_is_installed() in {True, False}  # looked up before the fork
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                live(json.loads(line))
            except BaseException:  # noqa: BLE001 - all of it is told, by a process that must not go on
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
