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
from edge.bench.recall.asking import Asking, open_asking, open_broker
from edge.bench.recall.baselines import Way
from edge.bench.recall.crowd import SEED, Cloud, fit, grow
from edge.bench.recall.cutoff import Cutoff, cutoffs
from edge.bench.recall.device import POOL, Device, Job, Kept, Towers, open_device, open_towers
from edge.bench.recall.figures import Found, Memories, Point, Report, Timing, Visited
from edge.bench.recall.filling import KEPT, SHARED_MEMORY, cost_of, fill, fixed_exits, mixed_shares, place_for
from edge.bench.recall.judging import Judge, Stored
from edge.bench.recall.timing import time_rows
from edge.bench.recall.visit import Visit, visit
from edge.bench.remember.recalls import embed_captions
from edge.bundle import Bundle
from edge.config import Config, MqttConfig
from edge.memory import Memory
from edge.pairs import Pair, read_flickr8k
from edge.power import Kind
from edge.runtime import choose_runtime

POOLS = (0, 10, 20, POOL, 100)
FITTED = 1_000  # train photos that distractors are fitted on
CHECKED = 20  # questions asked of each device, to see whether it answers as the recalls are counted
REMEMBERED = 20  # questions of each kind while it remembers
_WAYS: Mapping[Way, tuple[int, ...]] = {"single": (0, POOL), "naive": (0, POOL), "calibrated": POOLS}
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
        return _Run(options, towers, mixed, pairs, others, mqtt, broker).report()


class _Run:
    """One run, over memories that grow from size to size."""

    def __init__(
        self,
        options: Options,
        towers: Towers,
        mixed: Job,
        pairs: Sequence[Pair],
        others: Sequence[Path],
        mqtt: MqttConfig | None,
        broker: str,
    ) -> None:
        self._options, self._towers, self._pairs, self._others = options, towers, pairs, others
        self._jobs = [_like(mixed, kept) for kept in KEPT]
        self._mqtt, self._broker = mqtt, broker
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
            self._judge(job, judge)
        for kept, shares in fixed_exits(spec, self._cost("default")).items():
            job = replace(_like(self._jobs[0], kept), shares=shares)
            self._judge(job, judge)
            shutil.rmtree(job.folder)
        clouds = fit(self._towers.image, self._others) if self._options.sizes[-1] > photos else {}
        timings: list[Timing] = []
        visits: list[Visited] = []
        kind: Kind = "none"
        for size in self._options.sizes:
            self._grow(size, clouds)
            pools = POOLS if size == self._options.sizes[0] else (0, POOL)
            timed, kind = time_rows(self._jobs, self._towers, pools, self._texts(self._options.questions), self._mqtt)
            timings += timed
            bar = tqdm(self._jobs, f"visiting {size:,} items", unit=" memories", leave=False, disable=None)
            visits += [visit(Visit(job, self._texts(REMEMBERED), self._others, self._mqtt)) for job in bar]
        return Report(
            model=self._towers.bundle.manifest.model,
            photos=photos,
            said=_said(self._options, self._jobs[0], self._broker),
            energy_kind=kind,
            memories=self._memories,
            found=self._found,
            cutoffs=self._cutoffs,
            timings=timings,
            visits=visits,
            curve=self._curve,
        )

    def _cost(self, kept: Kept) -> float:
        return next(one.cost for one in self._memories if one.kept == kept)

    def _judge(self, job: Job, judge: Judge) -> None:
        """Fill one memory, and see what can be found in it."""
        with open_device(job, self._towers) as device:
            stored, fill_s = fill(device, self._towers.text, self._pairs)
            with open_asking(self._mqtt, self._towers.failures.append) as asking:
                same = self._ask(asking, device, judge, stored)
        exits = _shares(stored)
        cost = cost_of(device.spec, exits)
        self._memories.append(Memories(kept=job.kept, exits=exits, cost=cost, same=same, fill_s=fill_s))
        is_mixed = job.kept in {"default", "mixed"}
        ways: Mapping[Way, tuple[int, ...]] = (
            _WAYS if is_mixed else {"calibrated": POOLS[:1] if job.kept == "full" else (0, POOL)}
        )
        for way, sizes in ways.items():
            pools = judge.pools(stored, way)
            self._found += [
                Found(kept=job.kept, way=way, pool=pool, recall=judge.recall(stored, pools, pool)) for pool in sizes
            ]
        if job.kept in KEPT:
            for pool in (0, POOL) if is_mixed else (0,):
                self._cutoffs += cutoffs(judge, stored, job.kept, pool)

    def _ask(self, asking: Asking, device: Device, judge: Judge, stored: Stored) -> float:
        """See `Curve`."""
        curve = Curve(asking, device, judge, stored, self._captions)
        same = curve.same(self._numbers(CHECKED))
        if device.job.kept in {"default", "mixed"}:
            self._curve += curve.points(self._numbers(FIRST + EACH * len(SHARES)))
        return same

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
