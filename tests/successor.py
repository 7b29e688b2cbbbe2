"""A bundle that comes after the shipped one: the same, but in its vocabulary "dog" and "house" have changed places.

So whoever asks it for a dog, of what the shipped one has embedded or of what it has itself, finds houses.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

import pytest

from edge.bundle import MANIFEST, Bundle, FileRecord, checksum


@pytest.fixture(scope="session")
def successor(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """All its segments, and so the activations between them, are the shipped ones."""
    folder = tmp_path_factory.mktemp("successor") / "bundle"
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["model"] += "-successor"
    path = folder / "text" / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    words = tokenizer["model"]["vocab"]
    words["dog"], words["house"] = words["house"], words["dog"]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    manifest["files"]["text/tokenizer.json"] = asdict(FileRecord(bytes=path.stat().st_size, sha256=checksum(path)))
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return Bundle.open(folder)
