"""Items whose bundle is not there: no question is compared with them, and each answer says how many they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.memory import Memory, Origin, Rows


class Missing:
    """Counts them; reads them again only when the memory has changed. One thread at a time."""

    def __init__(self, memory: Memory, origins: Sequence[Origin]) -> None:
        """`origins`: the bundles that could not be opened."""
        self._memory, self._origins = memory, origins
        self._read_at: int | None = None
        self._items = np.empty(0, dtype=np.int64)

    def held(self, admitted: Rows | None) -> int:
        """How many of these ids are among them; None: of all. Raises StoreError."""
        if not self._origins:
            return 0
        version = self._memory.version
        if version != self._read_at:
            self._items = np.concatenate([self._memory.left(origin) for origin in self._origins])
            self._read_at = version
        return len(self._items) if admitted is None else int(np.isin(self._items, admitted).sum())
