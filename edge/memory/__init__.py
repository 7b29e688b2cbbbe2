"""All disk state: rows in SQLite, raw content in files, and the index over the embeddings."""

from edge.memory.activations import Activations
from edge.memory.changes import Changes, Partition
from edge.memory.halfway import Halfway
from edge.memory.index import AnnoyIndex, ExactIndex, Index, Rows, annoy_is_installed
from edge.memory.memory import CRASHED_TWICE, Memory

__all__ = [
    "CRASHED_TWICE",
    "Activations",
    "AnnoyIndex",
    "Changes",
    "ExactIndex",
    "Halfway",
    "Index",
    "Memory",
    "Partition",
    "Rows",
    "annoy_is_installed",
]
