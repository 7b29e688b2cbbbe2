"""The bundles that embedded what this one has not yet, and where the index of each is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edge.items import Modality
from edge.memory.disk.sync import sync_folder
from edge.memory.index import MemoryIndex

_MODELS = """
SELECT id, fingerprint, folder FROM models
WHERE id != ? AND EXISTS (SELECT 1 FROM embeddings WHERE model = models.id) ORDER BY id DESC
"""
_ITEMS = "SELECT DISTINCT item FROM embeddings WHERE model = ? ORDER BY 1"
_OF_MODALITY = """
SELECT id FROM items WHERE modality = ? AND EXISTS (SELECT 1 FROM embeddings WHERE item = id AND model = ?) ORDER BY 1
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


def items_of(rows: sqlite3.Connection, model: int, modality: Modality | None = None) -> list[int]:
    """The ids of what one bundle has embedded, rising; of one modality, if given."""
    query, values = (_ITEMS, (model,)) if modality is None else (_OF_MODALITY, (modality, model))
    return [item for (item,) in rows.execute(query, values)]


def index_folder(folder: Path, origin: Origin) -> Path:
    """Where the files of an origin's index are, below that of the memory's own."""
    return folder / f"earlier-{origin.number}"


def sweep_closed(folder: Path, indexes: Collection[MemoryIndex]) -> None:
    """Delete whatever lies in the index folder and is of none of these, the open ones.

    Of a bundle that is away, or of a tower whose items the present one does not take, nothing is open that could leave
    out a row. It is made anew from the rows, too. Raises OSError, the first there was; what can be deleted is gone.
    """
    errors: list[OSError] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not any(index.owns(path) for index in indexes):
            try:
                shutil.rmtree(path)
            except OSError as error:
                errors.append(error)
    if folder.is_dir():
        sync_folder(folder)
    if errors:
        raise errors[0]
