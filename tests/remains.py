"""Whatever is left of an item in a folder, by the bytes of its files and their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def left_of(traces: Mapping[str, bytes], folder: Path) -> list[str]:
    """Which of these byte strings stand in a file, or in hex in the name of one; as "what in which file"."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        found += [
            f"{what} in {file.relative_to(folder)}"
            for what, trace in traces.items()
            if trace in content or trace.hex() in file.name
        ]
    return found
