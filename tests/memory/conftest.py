"""Items without a model: an embedding of our choice for any text."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from edge.items import Arrival, Embedded, Verdict
from edge.memory import Memory

DIMENSION = 8


@pytest.fixture
def memory(state: Path) -> Iterator[Memory]:
    with Memory(state, "bundle one") as memory:
        yield memory


@pytest.fixture(scope="session")
def named() -> Callable[[str], Arrival]:
    """A builder: `named("cat")` is what arrives when the content is this text."""

    def build(text: str) -> Arrival:
        content = text.encode()
        digest = hashlib.sha256(content).digest()
        return Arrival(
            content=content, digest=digest, modality="image", source=f"/pictures/{text}.jpg", taken_at=1_700_000_000.5
        )

    return build


@pytest.fixture(scope="session")
def arriving() -> Callable[[str], Arrival]:
    """A builder: `arriving("door")` is the next picture of this source."""
    numbers = itertools.count()

    def build(source: str) -> Arrival:
        content = f"picture {next(numbers)}".encode()
        digest = hashlib.sha256(content).digest()
        return Arrival(content=content, digest=digest, modality="image", source=source, taken_at=None)

    return build


@pytest.fixture(scope="session")
def embedded() -> Callable[..., Embedded]:
    """A builder: `embedded(7, depth=8, axis=3)` is the embedding of item 7."""

    def build(item: int, *, depth: int = 11, axis: int = 0) -> Embedded:
        return Embedded(item=item, depth=depth, embedding=np.eye(DIMENSION, dtype=np.float32)[axis])

    return build


@pytest.fixture(scope="session")
def keep(named: Callable[[str], Arrival], embedded: Callable[..., Embedded]) -> Callable[..., list[Verdict]]:
    """Accepts texts in one commit and embeds all that waits: `keep(memory, "cat", "dog", depth=8, axis=3)`."""

    def accept(memory: Memory, *texts: str, depth: int = 11, axis: int = 0) -> list[Verdict]:
        verdicts = memory.accept([named(text) for text in texts])
        memory.index([embedded(item.id, depth=depth, axis=axis) for item in memory.waiting(1_000)])
        return verdicts

    return accept


@pytest.fixture(scope="session")
def found_in() -> Callable[[Memory], dict[int, list[str]]]:
    """The texts of all items that can be searched, by depth."""

    def names(memory: Memory) -> dict[int, list[str]]:
        return {
            part.depth: [Path(memory.item(number).source).stem for number in part.ids.tolist()]
            for part in memory.partitions()
        }

    return names


@pytest.fixture(scope="session")
def file_size_limit() -> Callable[[int], AbstractContextManager[None]]:
    """What a quota does, done by the system: within it a file cannot grow beyond so many bytes."""

    @contextlib.contextmanager
    def limited(limit: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def statements(memory: Memory) -> Iterator[list[str]]:
    """Every statement that the memory has written since, in order."""
    seen: list[str] = []
    memory._rows.set_trace_callback(lambda statement: seen.append(statement.strip()))
    yield seen
    memory._rows.set_trace_callback(None)
