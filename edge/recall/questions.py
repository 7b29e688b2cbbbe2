"""The questions that wait: answered one after another, each client in turn; past their bound refused.

A question is never interrupted for another: each client waits for the one at hand and for one of every other client.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from edge.errors import RefusedError, ReminisceError
from edge.items import Answer, Question
from edge.recall.retriever import Retriever
from edge.recall.turns import Turns
from edge.seldom import Seldom
from edge.threads import Worker

Reply: TypeAlias = Callable[["Answer | RefusedError"], None]
_STOPPING = RefusedError("stopping", "the daemon is stopping: ask again in a moment")
_BUSY = RefusedError("busy", "too many of your questions are waiting, and others want to ask: ask again later")
_NO_MEMORY = RefusedError(
    "internal", "the device has not enough memory free for this question: ask again later, or for less at a time"
)
_log = logging.getLogger(__name__)


class Questions:
    """A context manager: its thread runs in between. Each question that was taken gets exactly one last reply.

    It is the only one, unless the question streams. Those still waiting on leaving, or when the thread ends by a
    mistake of ours, are answered with `stopping`.
    """

    def __init__(self, retriever: Retriever, waiting: int, failed: Callable[[BaseException], None]) -> None:
        """At most `waiting` questions wait."""
        self._retriever = retriever
        self._turns: Turns[tuple[Question, Reply]] = Turns(waiting)
        self._closing = threading.Lock()
        self._starved = Seldom(_log)
        self._stopping = False
        self._open, self._last_at = 0, time.monotonic()
        self.answered = 0
        self._worker = Worker("recall", self._run, self._stop, failed)

    def __enter__(self) -> Questions:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)

    @property
    def quiet_s(self) -> float:
        """Seconds since the last question had its answer, or since the start; 0 while one waits for it."""
        return 0.0 if self._open else time.monotonic() - self._last_at

    def ask(self, question: Question, reply: Reply) -> bool:
        """Queue a question; False when there is no room. `reply` is called in the recall thread, or here at the end.

        Where there is no room and another client has more that waits, its newest makes room, and is answered so here.
        """
        with self._closing:
            if self._stopping:
                reply(_STOPPING)
                return True
            self._open += 1  # first: it may be answered before `put` returns
            displaced = self._turns.put(question.client, (question, reply))
            self._open -= len(displaced)
        for other, its_reply in displaced:
            if other is question:
                return False
            its_reply(_BUSY)
        return True

    def _close(self) -> None:
        with self._closing:
            self._stopping = True

    def _stop(self) -> None:
        self._close()
        self._turns.close()

    def _run(self) -> None:
        try:
            while (entry := self._turns.take()) is not None:
                self._take(*entry)
        except BaseException:
            self._stop()
            while (entry := self._turns.take()) is not None:
                entry[1](_STOPPING)
            raise

    def _take(self, question: Question, reply: Reply) -> None:
        try:
            found = self._answer(question, reply)
        except Exception:
            reply(RefusedError("internal", "the daemon met a mistake of its own and ends: its log says which"))
            raise
        reply(found)
        self.answered += 1
        with self._closing:
            self._open -= 1
            self._last_at = time.monotonic()

    def _answer(self, question: Question, better: Reply) -> Answer | RefusedError:
        if self._stopping:
            return _STOPPING
        if question.deadline is not None and time.monotonic() >= question.deadline:
            return RefusedError("expired", "the deadline passed before the question's turn came")
        try:
            return self._retriever.ask(question, better)
        except RefusedError as error:
            return error
        except MemoryError:
            self._starved.say(logging.ERROR, "a question needs more memory than there is: it is answered with an error")
            return _NO_MEMORY
        except ReminisceError as error:
            _log.error("a question could not be answered: %s", error)
            # Without its text: paths of the device are nobody's business.
            return RefusedError("internal", "the memory could not be read: the log of the device says why")
