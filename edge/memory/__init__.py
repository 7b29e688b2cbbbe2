"""All disk state: rows in SQLite, raw content in files, and the index over the embeddings."""

from edge.memory.activations import Activations
from edge.memory.changes import Changes, Partition
from edge.memory.halfway import Halfway
from edge.memory.housekeeping import Housekeeping
from edge.memory.index import Found, MemoryIndex, Rows, annoy_is_installed
from edge.memory.memory import CRASHED_TWICE, Memory

__all__ = [
    "CRASHED_TWICE",
    "Activations",
    "Changes",
    "Found",
    "Halfway",
    "Housekeeping",
    "Memory",
    "MemoryIndex",
    "Partition",
    "Rows",
    "annoy_is_installed",
]
