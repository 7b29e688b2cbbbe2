"""Nearest embeddings of each exit: exact for thousands of rows, mapped Annoy forests beyond. Its files are a cache."""

from edge.memory.index.blocks import Flags, Rows
from edge.memory.index.exact import Found
from edge.memory.index.feed import Changes, ExitRows, Feed
from edge.memory.index.following import MemoryIndex
from edge.memory.index.forest import annoy_is_installed
from edge.memory.index.partition import Limits

__all__ = [
    "Changes",
    "ExitRows",
    "Feed",
    "Flags",
    "Found",
    "Limits",
    "MemoryIndex",
    "Rows",
    "annoy_is_installed",
]
