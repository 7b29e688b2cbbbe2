"""Where sealed folders stand: `<folder>/<tower>-<depth>.<generation>/`, of each exit the newest that is good."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from edge.memory.disk.sync import sync_folder
from edge.memory.index.blocks import Block
from edge.memory.index.feed import ExitRows
from edge.memory.index.sealed import UNFINISHED, DamagedError, Seal, Sealed, close_seal, open_sealed, write_rows

_log = logging.getLogger(__name__)


class Shelf:
    """The sealed folders of one tower, for one bundle.

    damaged: how often something was told about
    """

    def __init__(self, folder: Path, tower: str, fingerprint: str) -> None:
        self._folder, self._tower, self._fingerprint = folder, tower, fingerprint
        self._names = re.compile(rf"{re.escape(tower)}-(\d+)\.(\d+)(.*)")
        self._generation = self.damaged = 0

    def open(self, first: int, last: int) -> dict[int, Sealed]:
        """What was sealed between these numbers of the memory's changes, by depth.

        The rest is deleted, damage told about.
        """
        found: dict[int, Sealed] = {}
        for depth, folder in self._newest_first():
            sealed = self.read(depth, folder) if depth not in found else None
            # Of another bundle, or of a backup, or beside a database out of one: not damaged, but of no use.
            if sealed and sealed.seal.fingerprint == self._fingerprint and first <= sealed.seal.sequence <= last:
                found[depth] = sealed
            else:
                remove(folder)
        return found

    def read(self, depth: int, folder: Path) -> Sealed | None:
        """The folder if its rows are good; whatever is damaged in it is told about."""
        try:
            sealed = open_sealed(folder)
        except DamagedError as error:
            self.tell(depth, str(error))
            return None
        if sealed.damage:
            self.tell(depth, sealed.damage)
        return sealed

    def write(self, depth: int, seal: Seal, rows: Iterator[ExitRows]) -> Sealed | None:
        """Seal rows out of the memory; None when the disk does not let us."""
        target = self.target(depth)
        unfinished = target.with_name(target.name + UNFINISHED)
        try:
            first = next(rows)
            centre = first.embeddings.mean(axis=0)
            blocks = (Block.of(one.ids, one.embeddings, one.offsets, centre) for one in chain([first], rows))
            count = write_rows(unfinished, blocks, centre)
            # Not durable: a power cut costs this once more, and syncing would keep the questions waiting.
            close_seal(unfinished, target, replace(seal, rows=count, dimension=len(centre)), durable=False)
        except OSError as error:
            _log.warning("the index of %s-%02d cannot be written (%s): it is kept in memory", self._tower, depth, error)
            remove(unfinished)
            return None
        return self.read(depth, target)

    def owns(self, path: Path) -> bool:
        """Whether a folder is of this tower, by its place and name."""
        return path.parent == self._folder and self._names.fullmatch(path.name) is not None

    def sync(self) -> None:
        """No power cut brings back what was deleted. Raises OSError."""
        if self._folder.is_dir():
            sync_folder(self._folder)

    def seal(self, sequence: int, scale: float) -> Seal:
        """What a folder of this bundle says of itself, but for its rows."""
        return Seal(fingerprint=self._fingerprint, sequence=sequence, scale=scale, rows=0, dimension=0)

    def target(self, depth: int) -> Path:
        """A folder that is not there so far."""
        self._generation += 1
        return self._folder / f"{self._tower}-{depth:02d}.{self._generation}"

    def tell(self, depth: int, problem: str) -> None:
        """Of damage: it is made good by itself."""
        self.damaged += 1
        _log.warning("the index of %s-%02d is rebuilt from the memory: %s", self._tower, depth, problem)

    def _newest_first(self) -> list[tuple[int, Path]]:
        """Folders by depth; what a killed process left unfinished is deleted."""
        found = []
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if name := self._names.fullmatch(path.name):
                generation = int(name[2])
                self._generation = max(self._generation, generation)
                if name[3]:
                    remove(path)
                else:
                    found.append((generation, int(name[1]), path))
        return [(depth, path) for _, depth, path in sorted(found, reverse=True)]


def remove(folder: Path) -> None:
    """Delete a folder, as far as the disk lets us. What is mapped stays readable until it is unmapped."""
    shutil.rmtree(folder, ignore_errors=True)
