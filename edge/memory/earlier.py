"""What another bundle embedded and this one has not yet: a feed of its own, for an index of its own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.memory.rows.changes import Changes, Partition, read_changes, read_exit
from edge.memory.rows.counts import exits_of
from edge.memory.rows.database import translated
from edge.memory.rows.transaction import snapshot

_MODELS = """
SELECT id, fingerprint, folder FROM models
WHERE id != ? AND EXISTS (SELECT 1 FROM embeddings WHERE model = models.id) ORDER BY id DESC
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """A bundle by which items are embedded.

    number: in the database; folder: where it was when the memory was last opened with it, None: nobody knows
    """

    number: int
    fingerprint: str
    folder: Path | None


def note_folder(rows: sqlite3.Connection, number: int, folder: Path | None) -> None:
    """Where this bundle is: it is looked for there when another has taken its place."""
    if folder is not None:
        rows.execute("UPDATE models SET folder = ? WHERE id = ?", (str(folder.absolute()), number))


def origins(rows: sqlite3.Connection, besides: int) -> tuple[Origin, ...]:
    """Of all items that bundle number `besides` has not embedded, the newest first."""
    found = rows.execute(_MODELS, (besides,)).fetchall()
    return tuple(Origin(number, mark, Path(folder) if folder else None) for number, mark, folder in found)


def items_of(rows: sqlite3.Connection, model: int) -> list[int]:
    """The ids of what one bundle has embedded, rising."""
    return [
        item for (item,) in rows.execute("SELECT DISTINCT item FROM embeddings WHERE model = ? ORDER BY 1", (model,))
    ]


class EarlierRows:
    """A `Feed` of one origin's items. Any thread, as `reader` gives each a connection of its own."""

    def __init__(
        self, origin: Origin, reader: Callable[[], sqlite3.Connection], version: Callable[[], int], where: Path
    ) -> None:
        """`version` is the memory's, `where` its folder."""
        self._model, self._reader, self._version, self._where = origin.number, reader, version, where

    @property
    def version(self) -> int:
        """See Feed."""
        return self._version()

    def changes(self, since: int) -> Changes:
        """See Feed. Raises StoreError."""
        with translated(self._where), snapshot(self._reader()):
            return read_changes(self._reader(), self._model, since)

    def counts(self) -> Mapping[int, int]:
        """See Feed; counted anew. Raises StoreError."""
        with translated(self._where):
            return exits_of(self._reader(), self._model)

    def rows(self, depth: int) -> Iterator[Partition]:
        """See Feed. Raises StoreError."""
        with translated(self._where):
            yield from read_exit(self._reader(), self._model, depth)


def index_folder(folder: Path, origin: Origin) -> Path:
    """Where the files of an origin's index are, below that of the memory's own."""
    return folder / f"earlier-{origin.number}"


def sweep(folder: Path, kept: Collection[Path]) -> None:
    """Delete the index folders of earlier bundles that are not `kept`; they are made anew from the rows."""
    for path in folder.glob("earlier-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
