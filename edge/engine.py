"""The memory without its network: a bundle, its towers and a state folder, put together into remember and recall.

The way of a photo from bytes to answer:

    remember/inbox.py      accepts it: content and row, durable in one commit   memory/disk/content.py, database.py
    remember/intake.py     decodes what waits, a batch ahead                    runtime/preprocess/image.py
    remember/elevator.py   a batch rides up, each item to its exit              runtime/tower.py, bank.py
    remember/policy.py     decides which exit that is                           policy.py, relevance.py
    remember/writing.py    writes embeddings, a group a commit; keeps           memory/rows/database.py
                           activations of what left early, in INT4              memory/cache/halfway.py, activations.py
    recall/retriever.py    question -> one text pass                            runtime/preprocess/text.py
    recall/granularity.py  its embedding for each exit
    recall/filtering.py    round 1, the coarse search over each exit            memory/index/
    recall/verifying.py    round 2, one pool of what the exits found
    recall/correcting.py   round 3, it goes on to the last exit and is ranked   memory/cache/halfway.py
    recall/refining.py     what was finished is written down behind the answer  memory/rows/refining.py
    recall/earlier.py      what an earlier bundle embedded, through its own     memory/earlier.py, turns.py
                           text tower, until it is embedded anew
    recall/ahead.py        idle time finishes what is likely asked for          memory/cache/likeliest.py

Every `invoke` on that way happens in one thread: runtime/compute.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from edge.bank import Banks
from edge.bundle import Bundle, Model, Tower
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.items import Floats, Modality, Outcome
from edge.memory import RESERVE_BYTES, Activations, Halfway, Housekeeping, Limits, Memory, Retention
from edge.power import AHEAD, RECALL, REMEMBER
from edge.recall import (
    Ahead,
    Allowance,
    Corrector,
    Filter,
    Follower,
    Haste,
    Missing,
    Questions,
    Refining,
    Retriever,
    open_earlier,
)
from edge.remember import Elevator, Gate, Inbox, Intake, Notes, choose_setting, open_policy
from edge.runtime import (
    Compute,
    Invoke,
    Pace,
    TowerRunner,
    check_image,
    choose_runtime,
    item_bytes,
    open_weights,
    read_note,
    residence,
)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the engine tells whoever runs it, each in the thread that the news comes from.

    progress:   the compute thread lives, see Compute; at least every `tick_s` seconds
    on_outcome: an accepted item can be found, or turned out to be unreadable
    on_gate:    the inbox opened or closed; on_drained: it refused an offer, and has room again
    failed:     a thread ended with this
    on_ahead:   so many items were refined ahead
    during:     entered, with its activity, around each wait for a segment call: RECALL, REMEMBER or AHEAD of edge.power
    """

    progress: Callable[[], None] = lambda: None
    tick_s: float = 1.0
    on_outcome: Callable[[Outcome], None] = lambda _: None
    on_gate: Callable[[Gate], None] = lambda _: None
    on_drained: Callable[[], None] = lambda: None
    failed: Callable[[BaseException], None] = lambda _: None
    on_ahead: Callable[[int], None] = lambda _: None
    during: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()

    def metered(self, activity: str, invoke: Invoke) -> Invoke:
        """`invoke` inside `during`."""

        def inside(model: Model, inputs: Mapping[str, Floats]) -> Floats:
            with self.during(activity):
                return invoke(model, inputs)

        return inside


class Engine:
    """A context manager: on leaving, its threads have ended and the memory is closed.

    The attributes are the parts; `activations` and `ahead` are None where the config wants none. `start` runs the
    threads of index, refining, inbox, intake, questions, retention and ahead, without it they can be driven by hand.
    """

    activations: Activations | None
    ahead: Ahead | None

    def __init__(self, config: Config, state: Path, hooks: Hooks = Hooks()) -> None:
        """Raises BundleError, RuntimeMissingError, UsageError, StoreError; leaves nothing open then."""
        self.bundle, self.runtime = open_bundle(config), choose_runtime(config.runtime.backend)
        manifest, folder = self.bundle.manifest, self.bundle.folder
        pace = Pace(item_bytes(manifest))
        with ExitStack() as stack:
            memory = Memory(state, self.bundle.fingerprint, RESERVE_BYTES, folder, notes=manifest.takes_notes)
            self.memory = stack.enter_context(memory)
            weights = stack.enter_context(open_weights(self.bundle, self.runtime, config, hooks.failed))
            self.compute = stack.enter_context(Compute(weights, pace, hooks.progress, hooks.tick_s, hooks.failed))
            on_background = hooks.metered(REMEMBER, self.compute.background)
            on_urgent = hooks.metered(RECALL, self.compute.urgent)
            background = TowerRunner(folder, manifest.tower("image"), on_background)
            urgent = TowerRunner(folder, manifest.tower("image"), on_urgent)
            text = TowerRunner(folder, manifest.tower("text"), on_urgent)
            words = TowerRunner(folder, manifest.tower("text"), on_background)
            batch, side = config.remember.batch, background.picture_side
            policy = open_policy(background.spec, config.remember, folder, on_background)
            banks = Banks(folder, manifest.bank, words)
            halfway = self._halfway(config, urgent.spec)
            self.refining = Refining(self.memory, halfway, hooks.failed)
            haste = Haste(urgent.spec, pace)
            corrector = Corrector(urgent, self.memory, banks, batch, halfway, haste, self.refining.put)
            self._filtering = Filter(self.memory, urgent.spec, config.index.annoy_from)
            notes = Filter(self.memory, words.spec, config.index.annoy_from) if manifest.takes_notes else None
            self._filters = (self._filtering, notes) if notes else (self._filtering,)
            self._earlier, away = open_earlier(
                self.memory,
                self.bundle,
                self.runtime,
                config,
                lambda invoke: hooks.metered(RECALL, self._aside(invoke)),
            )
            self.memory.sweep_indexes()
            earlier = tuple(self._earlier.values())
            self._missing = Missing(self.memory, away, tuple(self._earlier))
            self.follower = Follower((*self._filters, *earlier), hooks.failed)
            self.retriever = Retriever(
                text,
                urgent.spec,
                self._filtering,
                corrector,
                self.memory,
                config.recall.pool,
                earlier,
                self.refining.asked,
                self._missing,
                notes,
            )
            self.housekeeping = Housekeeping(self.memory, hooks.failed)
            self.questions = Questions(self.retriever, config.recall.waiting, hooks.failed)
            self.retention = Retention(self.memory, content_limits(config), hooks.failed)
            elevator = Elevator(background, policy, banks)
            self.intake = Intake(
                background,
                elevator,
                self.memory,
                batch,
                halfway=halfway,
                notes=Notes(words, banks) if notes else None,
                on_outcome=hooks.on_outcome,
                failed=hooks.failed,
            )
            self.inbox = Inbox(
                self.memory,
                config.remember,
                partial(_check, side),
                on_accept=self.intake.wake,
                on_gate=hooks.on_gate,
                on_drained=hooks.on_drained,
                failed=hooks.failed,
            )
            idly = hooks.metered(AHEAD, partial(self.compute.idle, self._is_idle))
            self._after_s = config.refine_ahead.after_s
            self.ahead = None
            if halfway and config.refine_ahead.items_per_hour:
                self.ahead = Ahead(
                    TowerRunner(folder, urgent.spec, idly),
                    self.memory,
                    banks,
                    batch,
                    halfway=halfway,
                    refining=self.refining,
                    allowance=Allowance(config.refine_ahead.items_per_hour),
                    is_idle=self._is_idle,
                    on_refined=hooks.on_ahead,
                    failed=hooks.failed,
                )
            self._stack = stack.pop_all()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _halfway(self, config: Config, tower: Tower) -> Halfway | None:
        """Where activations are kept. Raises StoreError."""
        max_bytes, folder = config.cache.max_mb * 1_000_000, self.memory.folder
        # Twice of what closes the inbox: what only spares time must not fill the disk up to there.
        spare_bytes = 2 * config.remember.min_free_mb * 1_000_000
        self.activations = self.memory.open_activations(max_bytes) if max_bytes else None
        if self.activations is None:
            return None
        hashes = self.bundle.manifest.segment_hashes(tower)
        return Halfway(self.activations, hashes, tower.outliers, lambda: shutil.disk_usage(folder).free >= spare_bytes)

    def _aside(self, invoke: Invoke) -> Invoke:
        """`invoke`, of another bundle's files, in the thread where everything is invoked."""
        return lambda model, inputs: self.compute.aside(lambda: invoke(model, inputs))

    def _is_idle(self) -> bool:
        """Whether nobody wants anything, nor did a while ago."""
        arrives = self.inbox.queued or self.intake.has_work
        return not (arrives or self.intake.paused) and self.questions.quiet_s > self._after_s

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it remembers."""
        return ("image", "text") if self.bundle.manifest.takes_notes else ("image",)

    @property
    def damaged(self) -> int:
        """Files of index and cache that were found damaged since the start, and made good from the rest."""
        earlier = sum(one.damaged for one in self._earlier.values())
        own = sum(one.damaged for one in self._filters)
        return own + earlier + (self.activations.damaged if self.activations else 0)

    @property
    def out_of_reach(self) -> int:
        """Items of earlier bundles that no text is compared with: they are not found until they are encoded anew."""
        lost = (origin for origin, one in self._earlier.items() if one.is_lost)
        return self._missing.held(None) + sum(len(self.memory.left(origin, "image")) for origin in lost)

    def start(self) -> None:
        """Run the threads; they end in reverse order on leaving."""
        threads = (self.follower, self.refining, self.intake, self.inbox, self.questions, self.retention)
        for part in (*threads, self.housekeeping):
            self._stack.enter_context(part)
        if self.ahead:
            self._stack.enter_context(self.ahead)


def _check(side: int, modality: Modality, content: bytes) -> None:
    """A quick look at content that arrived. Raises UnreadableItemError, MemoryError."""
    if modality == "text":
        read_note(content)
    else:
        check_image(content, side)


def content_limits(config: Config) -> Limits:
    """How much raw content is kept."""
    most, days = config.content.max_mb, config.content.max_days
    return Limits(
        max_bytes=None if most is None else most * 1_000_000, max_age_s=None if days is None else days * 86_400.0
    )


def open_bundle(config: Config) -> Bundle:
    """The bundle that the config names, whole and fitting in. Raises BundleError, RuntimeMissingError, UsageError."""
    folder = Path(config.bundle) if config.bundle else DEMO_BUNDLE
    if not folder.is_dir():
        raise UsageError(f"bundle: {folder} is not a folder")
    bundle = Bundle.open(folder)
    choose_setting(bundle.manifest.tower("image"), config.remember)
    residence(bundle, choose_runtime(config.runtime.backend), config)
    return bundle
