"""The engine's parts put together for measuring: nothing is refined for good, or one question would help the next.

Source: edge/engine.py, without its inbox and `Refining`; threads run where they are entered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edge.bank import Banks
from edge.bench.recall.baselines import RETRIEVERS, Way
from edge.bench.recall.crowd import lender
from edge.bench.remember.ways import Dealt
from edge.bundle import Bundle, Tower
from edge.config import Config
from edge.items import Embedded, Floats
from edge.memory import Activations, Halfway, Memory
from edge.recall import Candidate, Corrector, Filter, Follower, Granularities, Haste, Retriever
from edge.remember import Elevator, Fixed, Intake, Policy, open_policy
from edge.runtime import Compute, Invoke, Pace, TowerRunner, choose_runtime, item_bytes, open_weights

Kept: TypeAlias = Literal["full", "default", "mixed", "first", "equal"]
HITS = 10  # of an answer
POOL = 50
_CACHE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One memory.

    kept:   where its items left. full: all at the last exit; default: by the bundle's policy; mixed: dealt by `shares`;
            first, equal: all at one exit, the first, or that whose cost is nearest to the default policy's
    shares: (E,) of the items that leave at each exit, where they are dealt
    photos: its first items, which are real
    """

    kept: Kept
    folder: Path
    bundle: Path
    config: Config
    shares: tuple[float, ...]
    photos: int


@dataclass(frozen=True, slots=True)
class Towers:
    """What runs a bundle's files: `image` in the background, `urgent` and `text` for questions.

    background: the invoke of `image`; failures: what ended a thread
    """

    bundle: Bundle
    background: Invoke
    image: TowerRunner
    urgent: TowerRunner
    text: TowerRunner
    banks: Banks
    haste: Haste
    failures: list[BaseException]


class Lending(Halfway):
    """An item without a picture goes on from the activation of a photo that left at its exit, which takes as long."""

    def __init__(self, cache: Activations, hashes: tuple[bytes, ...], outliers: int, photos: int) -> None:
        """`photos`: see `Job`."""
        super().__init__(cache, hashes, outliers)
        self._photos = photos

    def find(self, item: int) -> tuple[int, Floats] | None:
        """See `Halfway.find`."""
        return super().find(self._from(item))

    def following(self, item: int) -> int | None:
        """See `Halfway.following`."""
        return super().following(self._from(item))

    def _from(self, item: int) -> int:
        return lender(item, self._photos) if super().following(item) is None else item


class Device:
    """One memory that can be filled and asked. `intake` and `follower` are context managers, as in the engine."""

    def __init__(self, job: Job, towers: Towers, memory: Memory) -> None:
        spec = towers.image.spec
        self.job, self.memory, self._towers = job, memory, towers
        hashes = towers.bundle.manifest.segment_hashes(spec)
        self._halfway = Lending(memory.open_activations(_CACHE_BYTES), hashes, spec.outliers, job.photos)
        self.filtering = Filter(memory, spec, job.config.index.annoy_from)
        self.follower = Follower([self.filtering], towers.failures.append)
        self.intake = Intake(
            towers.image,
            Elevator(towers.image, _policy(job, towers), towers.banks),
            memory,
            job.config.remember.batch,
            halfway=self._halfway,
            on_outcome=lambda _: None,
            failed=towers.failures.append,
        )
        self._retrievers: dict[tuple[int, Way], Retriever] = {}

    @property
    def spec(self) -> Tower:
        """Of the items' tower."""
        return self._towers.image.spec

    def retriever(self, pool: int, way: Way = "calibrated") -> Retriever:
        """The one that finishes so many; of each, the same text costs its text pass only once."""
        if (pool, way) not in self._retrievers:
            self._retrievers[pool, way] = RETRIEVERS[way](
                self._towers.text, self._towers.urgent.spec, self.filtering, self._corrector(), self.memory, pool
            )
        return self._retrievers[pool, way]

    def finish(self, query: Granularities, candidates: Sequence[Candidate]) -> list[Embedded]:
        """All of them at the last exit, as a question would finish them; those that are there already are left out."""
        found: list[Embedded] = []
        self._corrector(found.extend).rank(query, candidates)
        return found

    def _corrector(self, keep: Callable[[Sequence[Embedded]], None] = lambda _: None) -> Corrector:
        towers, batch = self._towers, self.job.config.remember.batch
        return Corrector(towers.urgent, self.memory, towers.banks, batch, self._halfway, towers.haste, keep)


@contextlib.contextmanager
def open_towers(bundle: Bundle, config: Config) -> Iterator[Towers]:
    """One compute thread. Raises BundleError, RuntimeMissingError, UsageError."""
    manifest, folder = bundle.manifest, bundle.folder
    pace, failures = Pace(item_bytes(manifest)), list[BaseException]()
    image, text = manifest.tower("image"), manifest.tower("text")
    with (
        open_weights(bundle, choose_runtime(config.runtime.backend), config, failures.append) as weights,
        Compute(weights, pace, lambda: None, 1.0, failures.append) as compute,
    ):
        yield Towers(
            bundle=bundle,
            background=compute.background,
            image=TowerRunner(folder, image, compute.background),
            urgent=TowerRunner(folder, image, compute.urgent),
            text=TowerRunner(folder, text, compute.urgent),
            banks=Banks(folder, manifest.bank, TowerRunner(folder, text, compute.background)),
            haste=Haste(image, pace),
            failures=failures,
        )
    for failure in failures:
        raise failure


@contextlib.contextmanager
def open_device(job: Job, towers: Towers) -> Iterator[Device]:
    """Raises StoreError, UsageError, BundleError."""
    with Memory(job.folder, towers.bundle.fingerprint) as memory:
        yield Device(job, towers, memory)


def _policy(job: Job, towers: Towers) -> Policy:
    spec = towers.image.spec
    if job.kept == "full":
        return Fixed(len(spec.exits) - 1)
    if job.kept == "default":
        return open_policy(spec, job.config.remember, job.bundle, towers.background)
    return Dealt(job.shares)
