"""The shipped image tower, and memories of its items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.bundle import Bundle
from edge.memory import Memory
from edge.remember import Elevator, Intake
from edge.runtime import TowerRunner, choose_runtime


@pytest.fixture(scope="session")
def image(bundle: Bundle) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("image"), choose_runtime("auto"), threads=2)


@pytest.fixture
def memory(bundle: Bundle, tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "state", bundle.fingerprint) as memory:
        yield memory


@pytest.fixture
def intake(image: TowerRunner, memory: Memory) -> Intake:
    return Intake(image, Elevator(image, image.spec.exits[0], batch=8), memory)


@pytest.fixture
def copies(pictures: list[Path], tmp_path: Path) -> Callable[[int], list[Path]]:
    """A builder: `copies(70)` are 70 picture files of 70 different contents."""

    def build(count: int) -> list[Path]:
        folder = tmp_path / "many"
        folder.mkdir()
        files = [folder / f"{number:03}.jpg" for number in range(count)]
        for number, file in enumerate(files):
            # Behind a JPEG's end anything may stand: other bytes, the same picture.
            file.write_bytes(pictures[number % 10].read_bytes() + number.to_bytes(2, "big"))
        return files

    return build
