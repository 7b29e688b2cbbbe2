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
from edge.bench.recall.anytime import EACH, FIRST, SHARES, Curve
from edge.bench.recall.crowd import SEED, Cloud, fit, grow
from edge.bench.recall.cutoff import Cutoff, cutoffs
from edge.bench.recall.device import POOL, Device, Job, Towers, open_device, open_towers
from edge.bench.recall.figures import Found, Memories, Point, Report, Timing, Visited
from edge.bench.recall.filling import KEPT, SHARED_MEMORY, cost_of, fill, mixed_shares, place_for
from edge.bench.recall.judging import Judge, Stored, Way
from edge.bench.recall.timing import time_rows
from edge.bench.recall.visit import Visit, visit
from edge.bench.remember.recalls import embed_captions
from edge.bundle import Bundle
from edge.config import Config
from edge.memory import Memory
from edge.pairs import Pair, read_flickr8k
from edge.power import Kind
from edge.runtime import choose_runtime

POOLS = (0, 10, 20, POOL, 100)
FITTED = 1_000  # train photos that distractors are fitted on
CHECKED = 20  # questions asked of each device, to see whether it answers as the recalls are counted
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
        open_towers(bundle, config) as towers,
    ):
        shares = mixed_shares(towers.image.spec)
        jobs = [
            Job(
                kept=kept,
                folder=Path(folder) / kept,
                bundle=options.bundle,
                config=config,
                shares=shares,
                photos=len(pairs),
            )
            for kept in KEPT
        ]
        return _Run(options, towers, jobs, pairs, others).report()


class _Run:
    """One run, over memories that grow from size to size."""

    def __init__(
        self, options: Options, towers: Towers, jobs: Sequence[Job], pairs: Sequence[Pair], others: Sequence[Path]
    ) -> None:
        self._options, self._towers, self._jobs, self._pairs, self._others = options, towers, jobs, pairs, others
        self._captions = [caption for pair in pairs for caption in pair.captions]
        self._chance = np.random.default_rng(SEED)
        self._memories: list[Memories] = []
        self._found: list[Found] = []
        self._cutoffs: list[Cutoff] = []
        self._curve: list[Point] = []

    def report(self) -> Report:
        """Measure all."""
        spec, photos = self._towers.image.spec, len(self._pairs)
        owners = np.repeat(np.arange(photos), [len(pair.captions) for pair in self._pairs])
        judge = Judge(spec, embed_captions(self._towers.text, spec, self._captions), owners)
        for job in self._jobs:
            with open_device(job, self._towers) as device:
                self._judge(device, judge)
        clouds = fit(self._towers.image, self._others) if self._options.sizes[-1] > photos else {}
        timings: list[Timing] = []
        visits: list[Visited] = []
        kind: Kind = "none"
        for size in self._options.sizes:
            self._grow(size, clouds)
            pools = POOLS if size == self._options.sizes[0] else (0, POOL)
            timed, kind = time_rows(self._jobs, self._towers, pools, self._texts(self._options.questions))
            timings += timed
            bar = tqdm(self._jobs, f"visiting {size:,} items", unit=" memories", leave=False, disable=None)
            visits += [visit(Visit(job, self._texts(REMEMBERED), self._others)) for job in bar]
        return Report(
            model=self._towers.bundle.manifest.model,
            photos=photos,
            said=_said(self._options, self._jobs[0]),
            energy_kind=kind,
            memories=self._memories,
            found=self._found,
            cutoffs=self._cutoffs,
            timings=timings,
            visits=visits,
            curve=self._curve,
        )

    def _judge(self, device: Device, judge: Judge) -> None:
        """Fill one memory, and see what can be found in it."""
        kept, stored = device.job.kept, fill(device, self._towers.text, self._pairs)
        ways: dict[Way, Sequence[int]] = {"single": (0, POOL), "naive": (0, POOL), "calibrated": POOLS}
        if kept == "full":
            ways = {"calibrated": POOLS[:1]}
        for way, sizes in ways.items():
            pools = judge.pools(stored, way)
            self._found += [
                Found(kept=kept, way=way, pool=pool, recall=judge.recall(stored, pools, pool)) for pool in sizes
            ]
        for pool in (0,) if kept == "full" else (0, POOL):
            self._cutoffs += cutoffs(judge, stored, kept, pool)
        curve = Curve(device, judge, stored, self._captions)
        same = curve.same(self._numbers(CHECKED))
        exits = _shares(stored)
        self._memories.append(Memories(kept=kept, exits=exits, cost=cost_of(device.spec, exits), same=same))
        if kept != "full":
            self._curve += curve.points(self._numbers(FIRST + EACH * len(SHARES)))

    def _grow(self, size: int, clouds: Mapping[int, Cloud]) -> None:
        for job in self._jobs:
            with Memory(job.folder, self._towers.bundle.fingerprint) as memory:
                if memory.tally.items >= size:
                    continue
                grow(memory, size, job.photos, clouds, self._towers.image.spec.exits, self._towers.banks)
            # A cache, made anew in files when it is opened: a daemon, which follows while it grows, has it so.
            shutil.rmtree(job.folder / "index", ignore_errors=True)  # none where it is small

    def _numbers(self, count: int) -> list[int]:
        """Of captions, drawn anew; each at most once, as long as there are so many."""
        made: list[int] = self._chance.permutation(len(self._captions))[:count].tolist()
        return made

    def _texts(self, count: int) -> list[str]:
        return [self._captions[number] for number in self._numbers(count)]


def _shares(stored: Stored) -> dict[int, float]:
    depths, counts = np.unique(stored.depths, return_counts=True)
    return {int(depth): float(count) / len(stored.depths) for depth, count in zip(depths, counts, strict=True)}


def _said(options: Options, job: Job) -> tuple[str, ...]:
    in_ram = job.folder.is_relative_to(SHARED_MEMORY)
    where = "in RAM, where writing costs nothing" if in_ram else "in the temporary folder"
    return (
        machine(choose_runtime(job.config.runtime.backend), options.threads),
        (
            f"{job.photos:,} Flickr8k dev photos with all captions; what is above their number are SYNTHETIC"
            f" distractors, drawn at each exit from a Gaussian fitted on {FITTED:,} train photos"
        ),
        (
            f"pool {POOL}, batches of {options.batch}, INT4 activations, nothing refined for good, no MQTT; a"
            " distractor is finished from the activation of a photo that left at its exit"
        ),
        (
            f"memories {where}; {options.questions} questions, each through every row in turn; the two baselines of"
            " merging search the same rows as coarse alone does, and take as long"
        ),
    )
