"""A named thread whose failure is not lost: what it meets goes to whoever started it. What owns one is `Threaded`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

_Self = TypeVar("_Self", bound="Threaded")


class Worker:
    """Runs `work` in a thread of its own from entering to leaving; `stop` must make `work` return.

    failed: called in that thread with what `work` raised; the daemon ends then, because a service that has lost one of
    its threads looks alive and does nothing.
    """

    def __init__(
        self, name: str, work: Callable[[], None], stop: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._work, self._stop, self._failed = work, stop, failed
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            self._failed(error)


class Threaded:
    """A context manager that works in a thread of its own: `_worker`, set by its constructor, runs in between."""

    _worker: AbstractContextManager[object]

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - Python 3.10 has no `Self`
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)
