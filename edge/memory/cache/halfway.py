"""The cached activations of one tower: what left early is kept, and a question goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge.items import Floats, Item
from edge.memory.cache.activations import Activations
from edge.memory.cache.worth import Worth
from edge.memory.index import Rows

_NEW = 0.05  # of a time in the mean of its segment's: what one item happened to take says little


class Halfway:
    """A cache, for the activations of one tower. One thread keeps, any other may find and free meanwhile."""

    def __init__(
        self,
        cache: Activations,
        hashes: tuple[bytes, ...],
        outliers: int,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`hashes` are the tower's, see `Manifest.segment_hashes`; what others made is deleted.

        has_room: whether the disk has room for more than items; asked before each is kept
        """
        self.has_room = has_room
        self._cache, self._hashes, self._outliers = cache, hashes, outliers
        self._usual_ms: dict[int, float] = {}
        cache.keep_only(hashes)

    def keep(self, item: Item, following: int, tensor: Floats, ms: float) -> bool:
        """Pack the (1, ...) input of segment number `following`, which took `ms` to make; False when there is no room.

        None is kept of an item that is at the end of the tower: there is nothing to go on with.
        """
        segment = following - 1
        if following >= len(self._hashes) or not self.has_room():
            return False
        usual = self._usual_ms.get(segment, ms)
        self._usual_ms[segment] = usual + _NEW * (ms - usual)
        worth = Worth(
            recompute_ms=self._usual_ms[segment], seen_at=item.seen_at or item.added_at, sightings=item.sightings
        )
        return self._cache.put(item.id, segment, self._hashes[segment], tensor[0], self._outliers, worth)

    @property
    def count(self) -> int:
        """Of the items that one can go on with."""
        return self._cache.count

    def only(self, items: Rows) -> Rows:
        """(N,) ids -> those that one can go on with, in their order."""
        return items[self._cache.holds(items)]

    def free(self, items: Iterable[int]) -> None:
        """Delete what was kept of items that are finished."""
        self._cache.remove(items)

    def following(self, item: int) -> int | None:
        """The number of the segment to go on with, by the file's name alone."""
        segment = self._cache.segment(item)
        return None if segment is None else segment + 1

    def find(self, item: int) -> tuple[int, Floats] | None:
        """The number of the segment to go on with and its (1, ...) input; None where that is not cached."""
        found = self._cache.get(item, self._hashes)
        if found is None:
            return None
        segment, activation = found
        return segment + 1, activation[None]
