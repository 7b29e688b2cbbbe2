"""Files in, durable items out, in groups that share one commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from edge.errors import UnreadableItemError
from edge.items import Encoded
from edge.memory import Memory
from edge.remember.elevator import Elevator
from edge.runtime import Activation, TowerRunner

GROUP = 32  # files a commit: one at a time writes the database pages several times over, which wears the card


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; "remembered" and "known" are said only once the item is on disk.

    reason: why it was refused, else empty
    """

    source: Path
    state: Literal["remembered", "known", "refused"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Arrival:
    source: Path
    content: bytes
    digest: bytes
    start: Activation


class Intake:
    """Reads picture files, skips what is known, and has the rest embedded and kept."""

    def __init__(self, tower: TowerRunner, elevator: Elevator, memory: Memory) -> None:
        self._tower, self._elevator, self._memory = tower, elevator, memory

    def remember(self, files: Iterable[Path]) -> Iterator[Outcome]:
        """Remember each file; yields outcomes as they become true. A file that cannot be read is refused, not fatal.

        Raises DiskFullError or StoreError; what was yielded before is safe, and nothing of the group at hand is kept.
        """
        rest = iter(files)
        while group := list(islice(rest, GROUP)):
            yield from self._remember_group(group)

    def _remember_group(self, group: list[Path]) -> Iterator[Outcome]:
        arrivals: dict[bytes, _Arrival] = {}
        outcomes = []
        for source in group:
            try:
                arrival = self._arrive(source)
            except (UnreadableItemError, OSError) as error:
                outcomes.append(Outcome(source, "refused", _reason(error)))
                continue
            known = arrival is None or arrival.digest in arrivals  # twice in one group is one item, too
            if arrival is not None:
                arrivals.setdefault(arrival.digest, arrival)
            outcomes.append(Outcome(source, "known" if known else "remembered"))
        if arrivals:
            self._memory.keep(self._encode(list(arrivals.values())))
        yield from outcomes

    def _arrive(self, source: Path) -> _Arrival | None:
        """The file before the first segment, or None when it is known. Raises UnreadableItemError, OSError."""
        content = source.read_bytes()
        digest = hashlib.sha256(content).digest()
        if self._memory.knows(digest):
            return None
        return _Arrival(source, content, digest, self._tower.start_images([content]))

    def _encode(self, arrivals: list[_Arrival]) -> list[Encoded]:
        embeddings = self._elevator.ride([arrival.start for arrival in arrivals])
        return [
            Encoded(
                content=arrival.content,
                digest=arrival.digest,
                modality=self._tower.spec.modality,
                source=_printable(arrival.source),
                depth=self._elevator.depth,
                embedding=embedding,
            )
            for arrival, embedding in zip(arrivals, embeddings, strict=True)
        ]


def _printable(source: Path) -> str:
    """The name for people: one that is not UTF-8 can be opened, but neither stored nor printed as it is."""
    return os.fsencode(source).decode(errors="backslashreplace")


def _reason(error: Exception) -> str:
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
