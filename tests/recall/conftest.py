"""The shipped towers, a memory, and what remembers into it at any exit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edge.bundle import Bundle, Exit
from edge.items import Floats, Item
from edge.memory import Memory
from edge.remember import Elevator, Intake
from edge.runtime import TowerRunner, choose_runtime


@pytest.fixture(scope="session")
def image(bundle: Bundle) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("image"), choose_runtime("auto"), threads=2)


@pytest.fixture(scope="session")
def text(bundle: Bundle) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("text"), choose_runtime("auto"), threads=2)


@pytest.fixture
def memory(bundle: Bundle, tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "state", bundle.fingerprint) as memory:
        yield memory


@pytest.fixture
def remember(image: TowerRunner, memory: Memory) -> Callable[..., None]:
    """Remembers files at an exit: `remember(paths, place)`; the first exit if none is given."""

    def keep(files: Sequence[Path], place: Exit | None = None) -> None:
        elevator = Elevator(image, place or image.spec.exits[0], batch=8)
        outcomes = list(Intake(image, elevator, memory).remember(files))
        assert [outcome.state for outcome in outcomes] == ["remembered"] * len(files)

    return keep


@pytest.fixture(scope="session")
def query(text: TowerRunner) -> Callable[[str], Floats]:
    """The embedding of a sentence."""
    place = text.spec.exits[-1]

    def embed(sentence: str) -> Floats:
        embedding: Floats = text.embed(text.advance(text.start_texts([sentence]), place.segment), place)[0]
        return embedding

    return embed


@pytest.fixture(scope="session")
def score(image: TowerRunner, query: Callable[[str], Floats]) -> Callable[[str, Path, Exit], float]:
    """The cosine of a sentence and a picture file at an exit, with nothing between the tower and the caller."""

    def cosine(sentence: str, file: Path, place: Exit) -> float:
        start = image.start_images([file.read_bytes()])
        return float(image.embed(image.advance(start, place.segment), place)[0] @ query(sentence))

    return cosine


@pytest.fixture
def content_file(tmp_path: Path) -> Callable[[Item], Path]:
    """Where the memory keeps an item's content."""

    def where(item: Item) -> Path:
        file = tmp_path / "state" / "content" / item.digest.hex()[:2] / item.digest.hex()
        assert file.is_file()
        return file

    return where
