"""What an index needs of the memory: the rows of an exit, and how they changed since it last looked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from edge.items import Floats
from edge.memory.index.blocks import Rows


class ExitRows(Protocol):
    """Items that left at one exit: (N,) ids, (N, D) float32 embeddings, (N,) float32 offsets of their scores."""

    @property
    def depth(self) -> int: ...

    @property
    def ids(self) -> Rows: ...

    @property
    def embeddings(self) -> Floats: ...

    @property
    def offsets(self) -> Floats: ...


class Changes(Protocol):
    """What changed after a number of the sequence. `removed` goes first: an item may be removed and added again."""

    @property
    def sequence(self) -> int:
        """The number to ask with the next time."""

    @property
    def added(self) -> Sequence[ExitRows]:
        """Each replaces whatever there was of its item, at any exit."""

    @property
    def removed(self) -> Rows:
        """(M,) ids."""


class Feed(Protocol):
    """The memory, for one bundle. An item at several exits counts at the deepest."""

    @property
    def version(self) -> int:
        """The number of the last change that is committed; it grows, also across restarts."""

    @property
    def pruned(self) -> int:
        """What was removed up to this number is not told any more: files that are older are of no use."""

    def changes(self, since: int) -> Changes:
        """All that changed after number `since`, which is 0 or not before `pruned`.

        Applied twice, or to rows that were read later, it does no harm.
        """

    def counts(self) -> Mapping[int, int]:
        """How many rows there are, by depth."""

    def rows(self, depth: int) -> Iterator[ExitRows]:
        """All rows at one exit, ids rising, some thousand at a time."""
