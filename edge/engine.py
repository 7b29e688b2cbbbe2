"""The memory without its network: a bundle, its towers and a state folder, put together into remember and recall.

The way of a photo from bytes to answer:

    remember/inbox.py      accepts it: content and row, durable in one commit   memory/content.py, database.py
    remember/intake.py     decodes what waits, a group a commit                 runtime/preprocess/image.py
    remember/elevator.py   a batch rides up to its exit                         runtime/tower.py
    recall/retriever.py    question -> one text pass                            runtime/preprocess/text.py
    recall/granularity.py  its embedding for each exit
    recall/filtering.py    the coarse search over everything                    memory/index.py
    recall/correcting.py   the best 50 finished to the last exit, and ranked again

Every `invoke` on that way happens in one thread: runtime/compute.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.bundle import Bundle
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.items import Outcome
from edge.memory import Memory
from edge.recall import Corrector, Filter, Questions, Retriever
from edge.remember import Elevator, Gate, Inbox, Intake
from edge.runtime import Compute, Pace, TowerRunner, check_image, choose_runtime, item_bytes, open_weights, residence


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the engine tells whoever runs it, each in the thread that the news comes from.

    progress:   the compute thread lives, see Compute; at least every `tick_s` seconds
    on_outcome: an accepted item can be found, or turned out to be unreadable
    on_gate:    the inbox opened or closed; on_drained: it refused an offer, and has room again
    failed:     a thread ended with this
    """

    progress: Callable[[], None] = lambda: None
    tick_s: float = 1.0
    on_outcome: Callable[[Outcome], None] = lambda _: None
    on_gate: Callable[[Gate], None] = lambda _: None
    on_drained: Callable[[], None] = lambda: None
    failed: Callable[[BaseException], None] = lambda _: None


class Engine:
    """A context manager: on leaving, its threads have ended and the memory is closed.

    The attributes are the parts; `start` runs the threads of inbox, intake and questions, without it they can be
    driven by hand.
    """

    def __init__(self, config: Config, state: Path, hooks: Hooks = Hooks()) -> None:
        """Raises BundleError, RuntimeMissingError, UsageError, StoreError; leaves nothing open then."""
        self.bundle, self.runtime = open_bundle(config), choose_runtime(config.runtime.backend)
        manifest, folder = self.bundle.manifest, self.bundle.folder
        pace = Pace(item_bytes(manifest))
        with ExitStack() as stack:
            self.memory = stack.enter_context(Memory(state, self.bundle.fingerprint))
            weights = stack.enter_context(open_weights(self.bundle, self.runtime, config, hooks.failed))
            self.compute = stack.enter_context(Compute(weights, pace, hooks.progress, hooks.tick_s, hooks.failed))
            background = TowerRunner(folder, manifest.tower("image"), self.compute.background)
            urgent = TowerRunner(folder, manifest.tower("image"), self.compute.urgent)
            text = TowerRunner(folder, manifest.tower("text"), self.compute.urgent)
            place, batch = background.spec.exit_at(config.remember.exit_depth), config.remember.batch
            side = background.picture_side
            corrector = Corrector(urgent, self.memory, batch)
            filtering = Filter(self.memory, config.index.annoy_from)
            self.retriever = Retriever(text, urgent.spec, filtering, corrector, self.memory, config.recall.pool)
            self.questions = Questions(self.retriever, config.recall.waiting, hooks.failed)
            elevator = Elevator(background, place, batch)
            self.intake = Intake(background, elevator, self.memory, on_outcome=hooks.on_outcome, failed=hooks.failed)
            self.inbox = Inbox(
                self.memory,
                config.remember,
                lambda content: check_image(content, side),
                on_accept=self.intake.wake,
                on_gate=hooks.on_gate,
                on_drained=hooks.on_drained,
                failed=hooks.failed,
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Run the threads; they end in reverse order on leaving."""
        for part in (self.intake, self.inbox, self.questions):
            self._stack.enter_context(part)


def open_bundle(config: Config) -> Bundle:
    """The bundle that the config names, whole and fitting in. Raises BundleError, RuntimeMissingError, UsageError."""
    folder = Path(config.bundle) if config.bundle else DEMO_BUNDLE
    if not folder.is_dir():
        raise UsageError(f"bundle: {folder} is not a folder")
    bundle = Bundle.open(folder)
    try:
        bundle.manifest.tower("image").exit_at(config.remember.exit_depth)
    except ValueError as error:
        raise UsageError(f"remember.exit_depth: {error}") from None
    residence(bundle, choose_runtime(config.runtime.backend), config)
    return bundle
