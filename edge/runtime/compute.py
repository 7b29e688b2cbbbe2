"""The one thread that invokes.

A question's segment calls go before those of remembering, and both before what idle time is for; equal ones in order of
arrival. A call is never interrupted,
but a batch that would take long is split, so that a question waits for one call of some 100 ms at most.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

import numpy as np

from edge.bundle import Model
from edge.heap import return_free_blocks
from edge.items import Floats
from edge.runtime.pace import Pace
from edge.runtime.weights import Invoke, Weights
from edge.threads import Worker

_URGENT, _BACKGROUND, _IDLE, _LAST = range(4)


class NotIdleError(Exception):
    """Idle time was over before this call was to begin; nothing was run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeTime:
    """What the compute thread has done so far.

    calls:     of files
    busy_s:    seconds from taking a call to its result
    invoke_s:  those of them inside the native interpreters
    waiting_s: those in which a call waited for the loader, see `Streamed`
    """

    calls: int = 0
    busy_s: float = 0.0
    invoke_s: float = 0.0
    waiting_s: float = 0.0


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
        weights: Weights,
        pace: Pace,
        progress: Callable[[], None],
        tick_s: float,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._weights, self._pace, self._progress, self._tick_s = weights, pace, progress, tick_s
        self._calls: queue.PriorityQueue[_Call] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._ended = False
        self._failed = failed
        self._time = ComputeTime()
        self._worker = Worker("compute", self._run, self._stop, self._fail)

    def __enter__(self) -> Compute:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    @property
    def time(self) -> ComputeTime:
        """How it was spent so far."""
        return self._time

    def urgent(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file for a question: arrays (N, ...) by input name -> its output (N, ...).

        Raises what `Weights.invoke` does, and RuntimeError once the thread ended.
        """
        return self._in_parts(_URGENT, model, inputs)

    def background(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file for remembering, as `urgent` does."""
        return self._in_parts(_BACKGROUND, model, inputs)

    def aside(self, work: Callable[[], Floats]) -> Floats:
        """Run something else for a question: files of another bundle, which no pace knows. Raises what it raises."""
        return self._put(_URGENT, work).result()

    def idle(self, is_idle: Callable[[], bool], model: Model, inputs: Mapping[str, Floats]) -> Floats:
        """Run a file in idle time, as `urgent` does: no call begins unless `is_idle`, which the thread asks.

        Raises NotIdleError as well.
        """

        def invoke(model: Model, inputs: Mapping[str, Floats]) -> Floats:
            if not is_idle():
                raise NotIdleError
            return self._invoke(model, inputs)

        return self._in_parts(_IDLE, model, inputs, invoke)

    def _in_parts(
        self, priority: int, model: Model, inputs: Mapping[str, Floats], invoke: Invoke | None = None
    ) -> Floats:
        """As many calls as the pace says, each with its rows, and its own place in the queue."""
        items, done = len(inputs["x"]), 0
        calls: list[Future[Floats]] = []
        while done < items:
            upto = done + self._pace.share(model, items - done)
            part = {name: value[done:upto] for name, value in inputs.items()}
            calls.append(self._put(priority, partial(invoke or self._invoke, model, part)))
            if not self._pace.knows(model):
                calls[-1].result()  # the first tells how many the others may take
            done = upto
        calls[-1].exception()  # the last to end: woken by each, we would take Python from the thread
        return calls[0].result() if len(calls) == 1 else np.concatenate([call.result() for call in calls])

    def _invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        began, before = time.perf_counter(), self._weights.invoke_s
        try:
            result = self._weights.invoke(model, inputs)
        finally:
            self._count(time.perf_counter() - began)
        self._pace.learn(model, len(result), (self._time.invoke_s - before) * 1e3)
        return result

    def _count(self, busy_s: float) -> None:
        self._time = ComputeTime(
            calls=self._time.calls + 1,
            busy_s=self._time.busy_s + busy_s,
            invoke_s=self._weights.invoke_s,
            waiting_s=self._weights.waiting_s,
        )

    def _stop(self) -> None:
        self._put(_LAST, None)

    def _put(self, priority: int, work: Callable[[], Floats] | None) -> Future[Floats]:
        call = _Call(priority, next(self._numbers), work)
        self._calls.put(call)
        if self._ended:
            self._refuse_all()
        return call.result

    def _run(self) -> None:
        has_free_blocks = True  # after opening the bundle, too
        while True:
            try:
                call = self._calls.get(timeout=self._tick_s)
            except queue.Empty:
                if has_free_blocks:  # not between calls: those that follow use them again
                    return_free_blocks()
                has_free_blocks = False
                self._progress()
                continue
            has_free_blocks = True
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
