"""What lies in a state folder, seen without the code that wrote it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waiting import wait_until

_RECORDS = """
SELECT hex(digest), bytes, rejected, EXISTS (SELECT 1 FROM waiting WHERE item = items.id),
    (SELECT count(*) FROM embeddings WHERE item = items.id)
FROM items
"""


@dataclass(frozen=True, slots=True)
class Record:
    """The rows about one item."""

    size: int
    rejected: str | None
    is_waiting: bool
    embeddings: int


@dataclass(frozen=True, slots=True)
class Remains:
    """records: by SHA-256 in hex; content: the bytes of each file by its name; norms: of all embeddings."""

    records: dict[str, Record]
    content: dict[str, bytes]
    norms: list[float]

    def check_accepted(self, items: Collection[str]) -> None:
        """Each has its row, its whole content, and waits or has one embedding; whatever else there is, too."""
        assert set(items) <= self.records.keys()
        for digest, record in self.records.items():
            assert hashlib.sha256(self.content[digest]).hexdigest() == digest
            assert record.size == len(self.content[digest])
            assert record.rejected is None
            assert record.embeddings + record.is_waiting == 1
        np.testing.assert_allclose(self.norms, 1, atol=2e-3)

    def check_indexed(self, items: Collection[str]) -> None:
        """Exactly these are there, each with one embedding, and not one file more."""
        self.check_accepted(items)
        assert self.records.keys() == set(items)
        assert self.content.keys() == set(items)
        assert {record.embeddings for record in self.records.values()} <= {1}


def look_into(state: Path) -> Remains:
    """Of a daemon that ended, in whatever way. Its files stay as they are: repairing them is for the next one."""
    with tempfile.TemporaryDirectory() as name:
        for file in state.glob("memory.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, name)
        with closing(sqlite3.connect(Path(name) / "memory.db")) as rows:
            assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert rows.execute("PRAGMA foreign_key_check").fetchall() == []
            records = {digest.lower(): Record(*rest) for digest, *rest in rows.execute(_RECORDS)}
            vectors = [np.frombuffer(vector, "<f2") for (vector,) in rows.execute("SELECT vector FROM embeddings")]
    files = [file for file in (state / "content").rglob("*") if file.is_file()]
    norms = [float(np.linalg.norm(vector.astype(np.float32))) for vector in vectors]
    return Remains(records, {file.name: file.read_bytes() for file in files}, norms)


def count(state: Path) -> tuple[int, int]:
    """Items, and how many of them wait for their embedding, of a daemon that runs."""
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        items, waiting = rows.execute("SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM waiting)").fetchone()
        return items, waiting


def wait_until_embedded(state: Path, items: int | None = None, seconds: float = 60.0) -> None:
    """Return when a running daemon has embedded all that it accepted: so many items, where that is said."""

    def is_done() -> bool:
        found, waiting = count(state)
        return waiting == 0 and items in {None, found}

    wait_until(is_done, lambda: f"{items} items and none that waits: {count(state)}", seconds)
