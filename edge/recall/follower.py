"""The thread that keeps the coarse search up to date, so that questions find it so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from edge.errors import ReminisceError
from edge.recall.earlier import Earlier
from edge.recall.filtering import Filter
from edge.threads import Threaded, Worker

_EVERY_S = 1.0  # less often, the first question after a while takes in more; more often finds nothing new to do
_log = logging.getLogger(__name__)


class Follower(Threaded):
    """A context manager: its thread runs in between."""

    def __init__(self, searches: Sequence[Filter | Earlier], failed: Callable[[BaseException], None]) -> None:
        self._searches = searches
        self._leaving = threading.Event()
        self._is_ill = False
        self._worker = Worker("index", self._run, self._leaving.set, failed)

    def _run(self) -> None:
        while not self._leaving.wait(_EVERY_S):
            self._follow()

    def _follow(self) -> None:
        try:
            for one in self._searches:
                one.follow()
            self._is_ill = False
        except ReminisceError as error:
            if not self._is_ill:  # said once: every question will say it, too
                _log.error("the index cannot follow the memory: %s", error)
            self._is_ill = True
