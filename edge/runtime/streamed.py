"""Weights that are streamed: of one tower, only the segment that computes and the one after it are in memory.

    compute    segment 0     segment 1            segment 2            ...
    loader     opens 1       frees 0, opens 2     frees 1, opens 3     ...

Source: the layer-streamed running that the paper compares with; reading ahead, in a thread of its own, is ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from edge.bundle import Model, Tower
from edge.heap import return_free_blocks
from edge.items import Floats
from edge.runtime.interpreter import Interpreter
from edge.runtime.weights import Interpreters
from edge.threads import Worker


class Streamed:
    """A context manager: its loader thread runs in between. At most two interpreters of the tower's segments exist.

    files:  opens them; all but the tower's segments (its heads, the other tower) it runs and keeps, too
    failed: called in the loader thread with what ended it. A file that cannot be opened is no such thing: `invoke`
            raises that
    is_tight: what a closed segment took goes back to the system at once, where the next could have used it: slower, for
              a few megabytes less
    """

    def __init__(
        self, files: Interpreters, tower: Tower, failed: Callable[[BaseException], None], *, is_tight: bool = False
    ) -> None:
        self._files, self._is_tight = files, is_tight
        self._models = [segment.model for segment in tower.segments]
        self._numbers = {model: number for number, model in enumerate(self._models)}
        # What followed last time: a ride ends at its exit, and the next one begins at segment 0.
        self._next = [(number + 1) % len(self._models) for number in range(len(self._models))]
        self._batches = [1] * len(self._models)  # items of the last call
        self._running = 0
        self._changed = threading.Condition()
        self._loaded: dict[int, Interpreter | Exception] = {}
        self._wanted: tuple[int, ...] = ()  # what runs, then what will
        self._ended = False
        self._failed = failed
        self.waiting_s = 0.0
        self._worker = Worker("loader", self._run, self._end, self._fail)

    def __enter__(self) -> Streamed:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)
        self._loaded.clear()

    @property
    def invoke_s(self) -> float:
        """See `Weights.invoke_s`."""
        return self._files.invoke_s

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """See `Weights.invoke`. Waits for the loader where the segment is not open yet."""
        number = self._numbers.get(model)
        if number is None:
            return self._files.invoke(model, inputs)
        self._batches[number] = len(inputs["x"])
        return self._files.run(self._take(number), inputs)

    def _take(self, number: int) -> Interpreter:
        """The segment's interpreter, and let the loader go on with the next."""
        if number != self._running:
            self._next[self._running], self._running = number, number
        began = time.perf_counter()
        with self._changed:
            self._wanted = (number, self._next[number])
            self._changed.notify_all()
            self._changed.wait_for(lambda: number in self._loaded or self._ended)
            self.waiting_s += time.perf_counter() - began
            if number not in self._loaded:
                raise RuntimeError("the loader thread has ended")
            loaded = self._loaded[number]
            if isinstance(loaded, Exception):
                del self._loaded[number]  # tried again by the next call: there may be memory by then
                raise loaded
            return loaded

    def _run(self) -> None:
        while (number := self._make_room()) is not None:
            self._put(number, self._load(number))

    def _make_room(self) -> int | None:
        """Wait until a segment is missing, close those that are not wanted any more, and say which; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._missing())
            if self._ended:
                return None
            number = self._missing()[0]
            old = [self._loaded.pop(other) for other in list(self._loaded) if other not in self._wanted]
        if old:
            old.clear()  # here, as nobody else holds them: it takes its time, and the heap must be told after it
            if self._is_tight:
                return_free_blocks()
        return number

    def _put(self, number: int, loaded: Interpreter | Exception) -> None:
        with self._changed:
            self._loaded[number] = loaded
            self._changed.notify_all()

    def _missing(self) -> list[int]:
        return [number for number in self._wanted if number not in self._loaded]

    def _load(self, number: int) -> Interpreter | Exception:
        try:
            interpreter = self._files.open(self._models[number])
            interpreter.plan(self._batches[number])
        except Exception as error:  # noqa: BLE001 - the caller's of `invoke`
            return error
        return interpreter

    def _fail(self, error: BaseException) -> None:
        self._failed(error)
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
