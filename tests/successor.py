"""A bundle that comes after the shipped one: the same, but for the sign of every question's embedding.

So whoever compares what the shipped one has embedded with a question of this one finds the worst of all.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from edge.bundle import MANIFEST, Bundle, FileRecord, checksum
from edge.runtime import choose_runtime, choose_variant
from granular import with_weights


@pytest.fixture(scope="session")
def successor(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The head of the text tower is negated."""
    folder = tmp_path_factory.mktemp("successor") / "bundle"
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["model"] += "-successor"
    head = bundle.manifest.tower("text").exits[-1].head
    path: Path = folder / choose_variant(head, choose_runtime("auto")).path
    path.write_bytes(with_weights(path, -1))
    record = FileRecord(bytes=path.stat().st_size, sha256=checksum(path))
    manifest["files"][path.relative_to(folder).as_posix()] = asdict(record)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return Bundle.open(folder)
