"""READ FIRST. The composition root: a bundle, its towers and a memory, put together into remember and recall.

The way of a photo from file to answer:

    remember/intake.py     reads the file, skips what is known              runtime/preprocess/image.py
    remember/elevator.py   a batch rides up to its exit                     runtime/tower.py
    memory/memory.py       content and embedding, durable in one commit     memory/content.py, database.py
    recall/retriever.py    question -> one text pass                        runtime/preprocess/text.py
    recall/filtering.py    the coarse search over everything                memory/index.py
    recall/correcting.py   the best 50 finished to the last exit, and ranked again
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from edge.bundle import Bundle
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.items import Answer
from edge.memory import Memory
from edge.recall import Corrector, Filter, Retriever
from edge.remember import Elevator, Intake, Outcome
from edge.runtime import TowerRunner, choose_runtime


class Engine:
    """A memory that can be added to and asked. A context manager: on leaving, the memory is closed."""

    def __init__(self, config: Config, state: Path) -> None:
        """Raises BundleError, RuntimeMissingError, UsageError, StoreError; leaves nothing open then."""
        self._config = config
        folder = Path(config.bundle) if config.bundle else DEMO_BUNDLE
        if not folder.is_dir():
            raise UsageError(f"bundle: {folder} is not a folder")
        self.bundle = Bundle.open(folder)
        self.runtime = choose_runtime(config.runtime.backend)
        manifest, threads = self.bundle.manifest, config.runtime.threads
        image = TowerRunner(self.bundle.folder, manifest.tower("image"), self.runtime, threads)
        text = TowerRunner(self.bundle.folder, manifest.tower("text"), self.runtime, threads)
        try:
            place = image.spec.exit_at(config.remember.exit_depth)
        except ValueError as error:
            raise UsageError(f"remember.exit_depth: {error}") from None
        with ExitStack() as stack:
            self.memory = stack.enter_context(Memory(state, self.bundle.fingerprint))
            batch = config.remember.batch
            self._intake = Intake(image, Elevator(image, place, batch), self.memory)
            filtering = Filter(self.memory, config.index.annoy_from)
            self._retriever = Retriever(text, filtering, Corrector(image, self.memory, batch), self.memory)
            self._closing = stack.pop_all()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def remember(self, files: Iterable[Path]) -> Iterator[Outcome]:
        """Remember picture files; see `Intake.remember`."""
        return self._intake.remember(files)

    def ask(self, question: str) -> Answer:
        """The best answers to a sentence, as many as `recall.limit`."""
        return self._retriever.ask(question, self._config.recall.limit, self._config.recall.pool)
