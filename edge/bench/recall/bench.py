"""`reminisce bench recall`: every way to answer, over memories of the same photos, in one run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bench.machine import machine
from edge.bench.recall.asking import open_broker
from edge.bench.recall.crowd import SEED, Cloud, fit, grow
from edge.bench.recall.device import POOL, Job, Kept, Towers, open_towers
from edge.bench.recall.examining import POOLS, Examiner
from edge.bench.recall.figures import Report, Timing, Visited
from edge.bench.recall.filling import KEPT, SHARED_MEMORY, fixed_exits, mixed_shares, place_for
from edge.bench.recall.timing import time_rows
from edge.bench.recall.visit import Visit, visit
from edge.bundle import Bundle
from edge.config import Config, MqttConfig
from edge.memory import Memory
from edge.pairs import Pair, read_flickr8k
from edge.power import Kind
from edge.runtime import choose_runtime

FITTED = 1_000  # train photos that distractors are fitted on
REMEMBERED = 20  # questions of each kind while it remembers
_SAMPLE_MS = 100  # of the power meter: questions are short


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """data: Flickr8k in its official layout; sizes: items, rising; questions: that are timed, of each size."""

    bundle: Path
    data: Path
    sizes: tuple[int, ...]
    questions: int
    batch: int
    threads: int


def measure(options: Options, config: Config) -> Report:
    """Run the benchmark. Raises UsageError, BundleError, StoreError, WorkerError."""
    bundle = Bundle.open(options.bundle)
    config = replace(
        config,
        runtime=replace(config.runtime, threads=options.threads),
        remember=replace(config.remember, batch=options.batch),
        power=replace(config.power, interval_ms=_SAMPLE_MS),
    )
    pairs = read_flickr8k(options.data, "dev")[: options.sizes[0]]
    others = [pair.photo for pair in read_flickr8k(options.data, "train")[:FITTED]]
    with (
        tempfile.TemporaryDirectory(prefix="reminisce-bench-", dir=place_for(options.sizes[-1])) as folder,
        open_broker(Path(folder)) as (mqtt, broker),
        open_towers(bundle, config) as towers,
    ):
        mixed = Job(
            kept="mixed",
            folder=Path(folder) / "mixed",
            bundle=options.bundle,
            config=config,
            shares=mixed_shares(towers.image.spec),
            photos=len(pairs),
        )
        return _Run(options, towers, mixed, others, mqtt).report(pairs, broker)


class _Run:
    """One run, over memories that grow from size to size."""

    def __init__(
        self, options: Options, towers: Towers, mixed: Job, others: Sequence[Path], mqtt: MqttConfig | None
    ) -> None:
        self._options, self._towers, self._others, self._mqtt = options, towers, others, mqtt
        self._jobs = [_like(mixed, kept) for kept in KEPT]

    def report(self, pairs: Sequence[Pair], broker: str) -> Report:
        """Measure all. broker: what there is to say of it."""
        examiner = Examiner(self._towers, pairs, self._mqtt, np.random.default_rng(SEED))
        self._examine(examiner)
        clouds = fit(self._towers.image, self._others) if self._options.sizes[-1] > len(pairs) else {}
        timings: list[Timing] = []
        visits: list[Visited] = []
        kind: Kind = "none"

        def texts(count: int) -> list[str]:
            return [examiner.captions[number] for number in examiner.numbers(count)]

        for size in self._options.sizes:
            self._grow(size, clouds)
            pools = POOLS if size == self._options.sizes[0] else (0, POOL)
            timed, kind = time_rows(self._jobs, self._towers, pools, texts(self._options.questions), self._mqtt)
            timings += timed
            bar = tqdm(self._jobs, f"visiting {size:,} items", unit=" memories", leave=False, disable=None)
            visits += [visit(Visit(job, texts(REMEMBERED), self._others, self._mqtt)) for job in bar]
        return Report(
            model=self._towers.bundle.manifest.model,
            photos=len(pairs),
            said=_said(self._options, self._jobs[0], broker),
            energy_kind=kind,
            memories=examiner.memories,
            found=examiner.found,
            cutoffs=examiner.cutoffs,
            timings=timings,
            visits=visits,
            curve=examiner.curve,
        )

    def _examine(self, examiner: Examiner) -> None:
        """All memories, and what lies at one exit each, which is gone then."""
        costs = {job.kept: examiner.examine(job).cost for job in self._jobs}
        for kept, shares in fixed_exits(self._towers.image.spec, costs["default"]).items():
            fixed = replace(_like(self._jobs[0], kept), shares=shares)
            examiner.examine(fixed)
            shutil.rmtree(fixed.folder)

    def _grow(self, size: int, clouds: Mapping[int, Cloud]) -> None:
        for job in self._jobs:
            with Memory(job.folder, self._towers.bundle.fingerprint) as memory:
                if memory.tally.items >= size:
                    continue
                grow(memory, size, job.photos, clouds, self._towers.image.spec.exits, self._towers.banks)
            # A cache, made anew in files when it is opened: a daemon, which follows while it grows, has it so.
            shutil.rmtree(job.folder / "index", ignore_errors=True)  # none where it is small


def _like(job: Job, kept: Kept) -> Job:
    return replace(job, kept=kept, folder=job.folder.with_name(kept))


def _said(options: Options, job: Job, broker: str) -> tuple[str, ...]:
    in_ram = job.folder.is_relative_to(SHARED_MEMORY)
    where = "in RAM, where writing costs nothing" if in_ram else "in the temporary folder"
    return (
        machine(choose_runtime(job.config.runtime.backend), options.threads),
        (
            f"{job.photos:,} Flickr8k dev photos with all captions; what is above their number are SYNTHETIC"
            f" distractors, drawn at each exit from a Gaussian fitted on {FITTED:,} train photos"
        ),
        (
            f"pool {POOL}, batches of {options.batch}, INT4 activations, nothing refined for good; a distractor is"
            " finished from the activation of a photo that left at its exit"
        ),
        f"{broker}; client and device are one process",
        f"memories {where}; {options.questions} questions, each through every row in turn",
    )
