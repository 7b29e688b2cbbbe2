"""The shipped bundle with granularity heads of their own at its first two exits, made from the text tower's head."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from edge.bundle import MANIFEST, Bundle, FileRecord, checksum
from edge.runtime import choose_runtime, choose_variant, open_interpreter
from edge.runtime._native import NativeInterpreter


@pytest.fixture(scope="session")
def granular(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Exits 0 and 1 have each a head that differs from every other; nothing else is changed."""
    folder = tmp_path_factory.mktemp("granular") / "bundle"
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    own = choose_variant(bundle.manifest.tower("text").exits[-1].head, choose_runtime("auto"))
    (image,) = (tower for tower in manifest["towers"] if tower["modality"] == "image")
    for number, factor in enumerate((-1, 0)):
        path = folder / "image" / f"query-{number:02}.tflite"
        path.write_bytes(_with_weights(bundle.path(own.path), factor))
        name = path.relative_to(folder).as_posix()
        image["exits"][number]["query"] = {
            "variants": [{"path": name, "format": own.format, "runtimes": list(own.runtimes)}]
        }
        manifest["files"][name] = asdict(FileRecord(bytes=path.stat().st_size, sha256=checksum(path)))
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return Bundle.open(folder)


def _with_weights(path: Path, factor: int) -> bytes:
    """The head's file with its INT8 weights times `factor`."""
    native = cast("NativeInterpreter", open_interpreter(path, choose_runtime("auto"), 1))._native
    native.allocate_tensors()
    (weights,) = (
        native.get_tensor(detail["index"])
        for detail in native.get_tensor_details()
        if detail["dtype"] == np.int8 and len(detail["shape"]) == 2
    )
    content, block = path.read_bytes(), weights.tobytes()
    assert content.count(block) == 1
    return content.replace(block, (weights * factor).astype(np.int8).tobytes())
