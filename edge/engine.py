"""The memory without its network: a bundle, its towers and a state folder, put together into remember and recall.

The way of a photo from bytes to answer:

    remember/inbox.py      accepts it: content and row, durable in one commit   memory/disk/content.py, database.py
    remember/intake.py     decodes what waits, a batch ahead                    runtime/preprocess/image.py
    remember/elevator.py   a batch rides up, each item to its exit              runtime/tower.py, bank.py
    remember/policy.py     decides which exit that is                           policy.py, relevance.py
    remember/writing.py    writes embeddings, a group a commit; keeps           memory/rows/database.py
                           activations of what left early, in INT4              memory/cache/halfway.py, activations.py
    recall/retriever.py    question -> answer, by the following
    recall/meaning.py      its words, and the example if it has one             recall/example.py
    recall/granularity.py  one text pass, its embedding for each exit           runtime/preprocess/text.py
    recall/searching.py    all indexes that it is compared with
    recall/filtering.py    round 1, the coarse search over each exit            memory/index/
    recall/verifying.py    round 2, one pool of what the exits found
    recall/correcting.py   round 3, it goes on to the last exit and is ranked   memory/cache/halfway.py
    recall/paging.py       the part that it wants, near-duplicates as one hit   recall/collapsing.py
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
from edge.bundle import Bundle, Model
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.items import Floats, Modality, Outcome
from edge.memory import RESERVE_BYTES, Activations, Halfway, Housekeeping, Limits, Memory, Origin, Retention
from edge.power import AHEAD, RECALL, REMEMBER
from edge.recall import (
    Ahead,
    Allowance,
    Corrector,
    Earlier,
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


@dataclass(frozen=True, slots=True)
class _Towers:
    """The towers of the bundle, for pictures and for text: run for a question, or for what is remembered."""

    urgent: TowerRunner
    urgent_text: TowerRunner
    background: TowerRunner
    background_text: TowerRunner

    @classmethod
    def of(cls, bundle: Bundle, compute: Compute, hooks: Hooks) -> _Towers:
        """Raises BundleError."""
        image, text = (bundle.manifest.tower(name) for name in ("image", "text"))
        on_urgent = hooks.metered(RECALL, compute.urgent)
        on_background = hooks.metered(REMEMBER, compute.background)
        return cls(
            TowerRunner(bundle.folder, image, on_urgent),
            TowerRunner(bundle.folder, text, on_urgent),
            TowerRunner(bundle.folder, image, on_background),
            TowerRunner(bundle.folder, text, on_background),
        )


class Engine:
    """A context manager: on leaving, its threads have ended and the memory is closed.

    The attributes are the parts; `activations` and `ahead` are None where the config wants none. `start` runs the
    threads of index, refining, inbox, intake, questions, retention and ahead, without it they can be driven by hand.
    """

    def __init__(self, config: Config, state: Path, hooks: Hooks = Hooks()) -> None:
        """Raises BundleError, RuntimeMissingError, UsageError, StoreError; leaves nothing open then."""
        self.bundle, self.runtime = open_bundle(config), choose_runtime(config.runtime.backend)
        self._config, self._hooks, self._after_s = config, hooks, config.refine_ahead.after_s
        manifest, folder = self.bundle.manifest, self.bundle.folder
        pace = Pace(item_bytes(manifest))
        with ExitStack() as stack:
            memory = Memory(state, self.bundle.fingerprint, RESERVE_BYTES, folder, notes=manifest.takes_notes)
            self.memory = stack.enter_context(memory)
            weights = stack.enter_context(open_weights(self.bundle, self.runtime, config, hooks.failed))
            self.compute = stack.enter_context(Compute(weights, pace, hooks.progress, hooks.tick_s, hooks.failed))
            towers = _Towers.of(self.bundle, self.compute, hooks)
            banks = Banks(folder, manifest.bank, towers.background_text)
            self.activations = self._open_activations()
            halfway = self._halfway()
            self.refining = Refining(self.memory, halfway, hooks.failed)
            self._filters = self._open_filters()
            self._earlier, self._missing = self._open_earlier()
            self.memory.sweep_indexes()
            self.follower = Follower((*self._filters, *self._earlier.values()), hooks.failed)
            self.retriever = self._retriever(towers, banks, halfway, pace)
            self.questions = Questions(self.retriever, config.recall.waiting, hooks.failed)
            self.intake = self._intake(towers, banks, halfway)
            self.inbox = self._inbox(towers.background.picture_side)
            self.housekeeping = Housekeeping(self.memory, hooks.failed)
            self.retention = Retention(self.memory, content_limits(config), hooks.failed)
            self.ahead = self._ahead(banks, halfway)
            self._stack = stack.pop_all()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_activations(self) -> Activations | None:
        """Raises StoreError."""
        max_bytes = self._config.cache.max_mb * 1_000_000
        return self.memory.open_activations(max_bytes) if max_bytes else None

    def _halfway(self) -> Halfway | None:
        """Where activations are kept."""
        if self.activations is None:
            return None
        tower, folder = self.bundle.manifest.tower("image"), self.memory.folder
        hashes = self.bundle.manifest.segment_hashes(tower)
        # Twice of what closes the inbox: what only spares time must not fill the disk up to there.
        spare_bytes = 2 * self._config.remember.min_free_mb * 1_000_000
        return Halfway(self.activations, hashes, tower.outliers, lambda: shutil.disk_usage(folder).free >= spare_bytes)

    def _open_filters(self) -> tuple[Filter, ...]:
        """Over pictures, and over notes where the bundle takes any. Raises StoreError."""
        towers = [self.bundle.manifest.tower(modality) for modality in self.modalities]
        return tuple(Filter(self.memory, tower, self._config.index.annoy_from) for tower in towers)

    def _open_earlier(self) -> tuple[Mapping[Origin, Earlier], Missing]:
        """The bundles before that can be asked, and what no question is compared with. Raises StoreError."""
        found, away = open_earlier(
            self.memory,
            self.bundle,
            self.runtime,
            self._config,
            lambda invoke: self._hooks.metered(RECALL, self._aside(invoke)),
        )
        return found, Missing(self.memory, away, tuple(found))

    def _retriever(self, towers: _Towers, banks: Banks, halfway: Halfway | None, pace: Pace) -> Retriever:
        haste, batch = Haste(towers.urgent.spec, pace), self._config.remember.batch
        pictures, *notes = self._filters
        return Retriever(
            towers.urgent_text,
            towers.urgent.spec,
            pictures,
            Corrector(towers.urgent, self.memory, banks, batch, halfway, haste, self.refining.put),
            self.memory,
            self._config.recall.pool,
            tuple(self._earlier.values()),
            self.refining.asked,
            self._missing,
            notes[0] if notes else None,
        )

    def _intake(self, towers: _Towers, banks: Banks, halfway: Halfway | None) -> Intake:
        """Raises BundleError, UsageError."""
        config, tower = self._config.remember, towers.background
        invoke = self._hooks.metered(REMEMBER, self.compute.background)
        return Intake(
            tower,
            Elevator(tower, open_policy(tower.spec, config, self.bundle.folder, invoke), banks),
            self.memory,
            config.batch,
            halfway=halfway,
            notes=Notes(towers.background_text, banks) if self.bundle.manifest.takes_notes else None,
            on_outcome=self._hooks.on_outcome,
            failed=self._hooks.failed,
        )

    def _inbox(self, picture_side: int) -> Inbox:
        return Inbox(
            self.memory,
            self._config.remember,
            partial(_check, picture_side),
            on_accept=self.intake.wake,
            on_gate=self._hooks.on_gate,
            on_drained=self._hooks.on_drained,
            failed=self._hooks.failed,
        )

    def _ahead(self, banks: Banks, halfway: Halfway | None) -> Ahead | None:
        items_per_hour = self._config.refine_ahead.items_per_hour
        if halfway is None or not items_per_hour:
            return None
        idly = self._hooks.metered(AHEAD, partial(self.compute.idle, self._is_idle))
        return Ahead(
            TowerRunner(self.bundle.folder, self.bundle.manifest.tower("image"), idly),
            self.memory,
            banks,
            self._config.remember.batch,
            halfway=halfway,
            refining=self.refining,
            allowance=Allowance(items_per_hour),
            is_idle=self._is_idle,
            on_refined=self._hooks.on_ahead,
            failed=self._hooks.failed,
        )

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
