"""All disk state: rows in SQLite, raw content in files, and the index over the embeddings."""

from edge.memory.cache.activations import Activations
from edge.memory.cache.halfway import Halfway
from edge.memory.disk.eviction import Limits
from edge.memory.disk.reserve import RESERVE_BYTES
from edge.memory.disk.usage import database_bytes
from edge.memory.earlier import Origin
from edge.memory.exporting import Exported, export
from edge.memory.housekeeping import Housekeeping
from edge.memory.importing import Imported, import_memory
from edge.memory.index import Flags, Found, MemoryIndex, Rows, annoy_is_installed
from edge.memory.memory import Memory
from edge.memory.merging import InUse
from edge.memory.retention import Retention
from edge.memory.rows.changes import Changes, Partition
from edge.memory.rows.rejecting import CRASHED_TWICE

__all__ = [
    "CRASHED_TWICE",
    "RESERVE_BYTES",
    "Activations",
    "Changes",
    "Exported",
    "Flags",
    "Found",
    "Halfway",
    "Housekeeping",
    "Imported",
    "InUse",
    "Limits",
    "Memory",
    "MemoryIndex",
    "Origin",
    "Partition",
    "Retention",
    "Rows",
    "annoy_is_installed",
    "database_bytes",
    "export",
    "import_memory",
]
