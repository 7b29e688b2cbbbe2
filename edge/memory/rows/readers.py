"""Connections to read through: each thread has its own, and none of them can write."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from edge.memory.rows.database import connect_reader


class Readers:
    """A context manager: closes them all. To be called for the one of this thread."""

    def __init__(self, database: Path) -> None:
        self._database, self._own, self._closing = database, threading.local(), ExitStack()

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def __call__(self) -> sqlite3.Connection:
        """Raises sqlite3.Error."""
        if not hasattr(self._own, "rows"):
            self._own.rows = connect_reader(self._database)
            self._closing.callback(self._own.rows.close)
        rows: sqlite3.Connection = self._own.rows
        return rows
