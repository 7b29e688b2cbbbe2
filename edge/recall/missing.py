"""Items that no question is compared with, as only an earlier bundle has embedded them: each answer says how many.

Those whose bundle is not there; and the notes of all earlier bundles, of which questions search the pictures alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from edge.items import Modality
from edge.memory import Memory, Origin, Rows


class Missing:
    """Counts them; reads them again only when the memory has changed. Any thread."""

    def __init__(self, memory: Memory, away: Sequence[Origin], opened: Sequence[Origin]) -> None:
        """`away`: the bundles that could not be opened; `opened`: those that could."""
        self._memory = memory
        pictures: list[tuple[Origin, Modality]] = [(origin, "image") for origin in away]
        notes: list[tuple[Origin, Modality]] = [(origin, "text") for origin in (*away, *opened)]
        self._kinds, self._left = pictures + notes, list[Rows]()
        self._read_at: int | None = None
        self._reading = threading.Lock()

    def held(self, admitted: Rows | None, *, by_picture: bool = False) -> int:
        """How many of these ids are among them, None: of all; those that a picture could find. Raises StoreError."""
        with self._reading:
            self._read()
            pairs = zip(self._kinds, self._left, strict=True)
            left = [items for (_, modality), items in pairs if modality == "image" or not by_picture]
        return sum(len(items) if admitted is None else int(np.isin(items, admitted).sum()) for items in left)

    def _read(self) -> None:
        version = self._memory.version
        if version == self._read_at:
            return
        left = [self._memory.left(*kind) for kind in self._kinds]
        # What is of an earlier bundle only ever gets less: where nothing is left there is nothing to read.
        self._kinds = [kind for kind, items in zip(self._kinds, left, strict=True) if len(items)]
        self._left, self._read_at = [items for items in left if len(items)], version
