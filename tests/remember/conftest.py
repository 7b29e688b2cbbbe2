"""The parts that remember, over a real memory; what they told whoever runs them."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.bank import Banks
from edge.config import RememberConfig
from edge.items import Arrival, Offer, Verdict
from edge.memory import Memory
from edge.remember import Elevator, Fixed, Inbox, Intake
from edge.runtime import TowerRunner, check_image
from told import Told

SIDE = 224


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def intake(image: TowerRunner, banks: Banks, memory: Memory, told: Told) -> Intake:
    """Up to the first exit, by eight."""
    return Intake(
        image, Elevator(image, Fixed(0), banks), memory, 8, on_outcome=told.outcome, failed=told.failures.append
    )


@pytest.fixture
def accept(memory: Memory, arrival: Callable[[Path], Arrival]) -> Callable[[list[Path]], list[Verdict]]:
    """Accepts files without an inbox, in one commit."""
    return lambda files: memory.accept([arrival(file) for file in files])


@pytest.fixture
def make_inbox(memory: Memory, told: Told) -> Callable[[RememberConfig], Inbox]:
    """A builder: an inbox whose thread does not run so far."""

    def build(config: RememberConfig) -> Inbox:
        return Inbox(
            memory,
            config,
            lambda _, content: check_image(content, SIDE),
            on_accept=told.accept,
            on_gate=told.gates.append,
            on_drained=told.drain,
            failed=told.failures.append,
        )

    return build


@pytest.fixture
def inbox(make_inbox: Callable[[RememberConfig], Inbox]) -> Inbox:
    """One for which any disk is large enough; its thread does not run so far."""
    return make_inbox(RememberConfig(min_free_mb=0))


@pytest.fixture(scope="session")
def photo() -> Callable[[int], bytes]:
    """A builder: `photo(7)` is a picture file of its own, always the same."""

    def build(number: int) -> bytes:
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    return build


@pytest.fixture
def send(told: Told, photo: Callable[[int], bytes]) -> Callable[..., bool]:
    """Offers to an inbox: `send(inbox, 7)` the photo of that number, `send(inbox, path=...)` what is named."""

    def offer(
        inbox: Inbox, content: bytes | int | None = None, *, path: Path | str | None = None, digest: bytes | None = None
    ) -> bool:
        given = photo(content) if isinstance(content, int) else content
        return inbox.offer(
            Offer(content=given, path=None if path is None else str(path), digest=digest, source="test"), told.verdict
        )

    return offer


@pytest.fixture
def commits(memory: Memory) -> Iterator[list[str]]:
    """One entry for each commit since."""
    seen: list[str] = []
    memory._rows.set_trace_callback(lambda statement: seen.append(statement) if statement == "COMMIT" else None)
    yield seen
    memory._rows.set_trace_callback(None)


@pytest.fixture
def unreadable(memory: Memory) -> Callable[[Exception], AbstractContextManager[None]]:
    """In between, reading any content fails with the given error beneath the memory."""

    @contextmanager
    def fail(error: Exception) -> Iterator[None]:
        def get(_digest: bytes) -> bytes | None:
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory._content, "get", get)
            yield

    return fail


@pytest.fixture
def durable(state: Path) -> Callable[[str], set[bytes]]:
    """Digests of what a process would find that opens the folder now: `durable("waiting")`, `durable("embeddings")`."""

    def find(table: str) -> set[bytes]:
        query = f"SELECT digest FROM items JOIN {table} ON {table}.item = items.id"  # noqa: S608 - our own tables
        with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
            return {
                digest
                for (digest,) in rows.execute(query)
                if (state / "content" / digest.hex()[:2] / digest.hex()).is_file()
            }

    return find


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
