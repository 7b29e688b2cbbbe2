"""The one thread that invokes, and the files that it invokes.

A question's segment calls go before those of remembering; equal ones in order of arrival. A call is never interrupted,
so a question waits for one segment of one batch at most.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from edge.bundle import Model
from edge.items import Floats
from edge.runtime.interpreter import Interpreter, choose_variant, open_interpreter
from edge.threads import Worker

Invoke: TypeAlias = Callable[[Model, Mapping[str, Floats]], Floats]
_URGENT, _BACKGROUND, _LAST = 0, 1, 2


class Interpreters:
    """The TFLite files of one bundle, opened on first use and kept. One thread at a time.

    runtime: one of `installed_runtimes()`; threads: those of one call
    """

    def __init__(self, folder: Path, runtime: str, threads: int) -> None:
        self._folder, self._runtime, self._threads = folder, runtime, threads
        self._open: dict[Model, Interpreter] = {}

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file once; see `Interpreter.run`. Raises RuntimeMissingError when no variant suits the runtime."""
        return self.open(model).run(inputs)

    def open(self, model: Model) -> Interpreter:
        """The file's interpreter."""
        if model not in self._open:
            path = self._folder / choose_variant(model, self._runtime).path
            self._open[model] = open_interpreter(path, self._runtime, self._threads)
        return self._open[model]


@dataclass(order=True)
class _Call:
    priority: int
    number: int
    work: Callable[[], Floats] | None = field(compare=False)
    result: Future[Floats] = field(compare=False, default_factory=Future)


class Compute:
    """A context manager: the thread runs in between. Callers wait for their result, so the queue never outgrows them.

    progress: called in the thread after each call, and every `tick_s` seconds while there is nothing to do: what it
    feeds stops when a call hangs
    """

    def __init__(
        self,
        interpreters: Interpreters,
        progress: Callable[[], None],
        tick_s: float,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._interpreters, self._progress, self._tick_s = interpreters, progress, tick_s
        self._calls: queue.PriorityQueue[_Call] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._ended = False
        self._failed = failed
        self._worker = Worker("compute", self._run, self._stop, self._fail)

    def __enter__(self) -> Compute:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    def urgent(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file for a question. Raises what `Interpreters.invoke` does, and RuntimeError once the thread ended."""
        return self._put(_URGENT, lambda: self._interpreters.invoke(model, inputs)).result()

    def background(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file for remembering. Raises like `urgent`."""
        return self._put(_BACKGROUND, lambda: self._interpreters.invoke(model, inputs)).result()

    def _stop(self) -> None:
        self._put(_LAST, None)

    def _put(self, priority: int, work: Callable[[], Floats] | None) -> Future[Floats]:
        call = _Call(priority, next(self._numbers), work)
        self._calls.put(call)
        if self._ended:
            self._refuse_all()
        return call.result

    def _run(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._tick_s)
            except queue.Empty:
                self._progress()
                continue
            if call.work is None:
                self._end()
                return
            try:
                call.result.set_result(call.work())
            except Exception as error:  # noqa: BLE001 - the caller's, who waits for it
                call.result.set_exception(error)
            self._progress()

    def _fail(self, error: BaseException) -> None:
        self._failed(error)  # first: what ended the thread must be heard before what follows from it
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        """A call that nobody will run must not be waited for."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait().result.set_exception(RuntimeError("the compute thread has ended"))
