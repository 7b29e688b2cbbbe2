"""All disk state: rows in SQLite, raw content in files, and the index over the embeddings."""

from edge.memory.index import AnnoyIndex, ExactIndex, Index, Rows, annoy_is_installed
from edge.memory.memory import Memory, Partition

__all__ = ["AnnoyIndex", "ExactIndex", "Index", "Memory", "Partition", "Rows", "annoy_is_installed"]
