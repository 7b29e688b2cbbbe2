"""What one tower of a bundle has embedded: a feed of its own, for an index of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge.memory.rows.changes import Changes, Partition, read_changes, read_exit
from edge.memory.rows.counts import exits_of
from edge.memory.rows.database import translated
from edge.memory.rows.removals import pruned
from edge.memory.rows.transaction import snapshot


class TowerRows:
    """A `Feed`. Any thread, as `reader` gives each a connection of its own."""

    def __init__(
        self,
        model: int,
        modality: str,
        reader: Callable[[], sqlite3.Connection],
        version: Callable[[], int],
        where: Path,
    ) -> None:
        """Of the bundle with that number, the items of `modality`. `version` is the memory's, `where` its folder."""
        self._model, self._modality = model, modality
        self._reader, self._version, self._where = reader, version, where

    @property
    def version(self) -> int:
        """See Feed."""
        return self._version()

    @property
    def pruned(self) -> int:
        """See Feed. Raises StoreError."""
        with translated(self._where):
            return pruned(self._reader(), self._model)

    def changes(self, since: int) -> Changes:
        """See Feed. Raises StoreError."""
        with translated(self._where), snapshot(self._reader()):
            return read_changes(self._reader(), self._model, since, self._modality)

    def counts(self) -> Mapping[int, int]:
        """See Feed; counted anew. Raises StoreError."""
        with translated(self._where):
            return exits_of(self._reader(), self._model, self._modality)

    def rows(self, depth: int) -> Iterator[Partition]:
        """See Feed. Raises StoreError."""
        with translated(self._where):
            yield from read_exit(self._reader(), self._model, depth, self._modality)
