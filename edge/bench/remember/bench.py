"""`reminisce bench remember`: every way to remember, on the same items, interleaved, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bench.machine import machine
from edge.bench.remember.crew import Crew
from edge.bench.remember.figures import Report, figures
from edge.bench.remember.fitting import Equal, costs_of, fit, nearest_exit
from edge.bench.remember.recalls import Judge, Recall
from edge.bench.remember.rows import FULL, ROWS, Row
from edge.bench.remember.worker import Block, Histogram, Job, Plan, Result, Thresholds
from edge.bundle import Bundle
from edge.config import Config, MemoryConfig
from edge.errors import UsageError
from edge.items import Floats
from edge.pairs import Pair, read_flickr8k
from edge.power import Ledger, Sampler
from edge.runtime import Interpreters, TowerRunner, choose_runtime

BLOCK = 64  # items that go through all rows before the next ones are decoded
FITTED = 200  # train photos that the baselines' thresholds are fitted on
NOISE = 256  # items of noise, where only overhead is measured
_SAMPLE_MS = 100  # of the power meter: blocks are short
SEED = 20251125


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """data: Flickr8k in its official layout; None with `exits`, the shares (E,) that are dealt to items of noise."""

    bundle: Path
    data: Path | None
    exits: tuple[float, ...] | None
    limit: int | None
    batch: int
    threads: int


def measure(options: Options, config: Config) -> Report:
    """Run the benchmark. Raises UsageError, BundleError, WorkerError."""
    bundle = Bundle.open(options.bundle)
    config = replace(
        config,
        runtime=replace(config.runtime, threads=options.threads),
        remember=replace(config.remember, batch=options.batch),
        power=replace(config.power, interval_ms=_SAMPLE_MS),
    )
    if options.exits is not None:
        return _overhead(bundle, options, config, options.exits)
    if options.data is None:
        raise UsageError("photos are missing: name Flickr8k with --data, or deal exits with --exits")
    pairs = read_flickr8k(options.data, "dev")[: options.limit]
    others = [pair.photo for pair in read_flickr8k(options.data, "train")[:FITTED]]
    equal = fit(bundle, choose_runtime(config.runtime.backend), config.remember, others)
    plans: dict[str, Plan] = {"equal": equal.exit_, "confidence": Thresholds(equal.thresholds), "bundle": None}
    return _run(bundle, config, plans, ROWS, _decoded(bundle, pairs), pairs, _said(bundle, options, config, equal))


def _overhead(bundle: Bundle, options: Options, config: Config, shares: tuple[float, ...]) -> Report:
    tower = bundle.manifest.tower("image")
    if len(shares) != len(tower.exits):
        depths = ", ".join(str(place.depth) for place in tower.exits)
        raise UsageError(f"--exits has {len(shares)} shares, the bundle {len(tower.exits)} exits (depth {depths})")
    cost = float((costs_of(tower) * (np.array(shares) / sum(shares))).sum())
    plans: dict[str, Plan] = {"equal": nearest_exit(tower, cost), "bundle": Histogram(shares)}
    rows = tuple(row for row in ROWS if row.way != "confidence")
    side = TowerRunner(bundle.folder, tower, Interpreters(bundle.folder, "", 1).invoke).picture_side
    chance = np.random.default_rng(SEED)
    items = (chance.standard_normal((side, side, 3), dtype=np.float32) for _ in range(options.limit or NOISE))
    equal = Equal(cost, nearest_exit(tower, cost), ())
    return _run(bundle, config, plans, rows, items, None, _said(bundle, options, config, equal))


def _run(
    bundle: Bundle,
    config: Config,
    plans: Mapping[str, Plan],
    rows: Sequence[Row],
    items: Iterator[Floats],
    pairs: Sequence[Pair] | None,
    said: Sequence[str],
) -> Report:
    tower = bundle.manifest.tower("image")
    costs = dict(zip((place.depth for place in tower.exits), costs_of(tower).tolist(), strict=True))
    jobs = [
        Job(
            row=row,
            plan=plans.get(row.way, len(tower.exits) - 1),
            config=replace(config, memory=MemoryConfig(weights=row.weights)),
            bundle=bundle.folder,
        )
        for row in rows
    ]
    ledger = Ledger(tuple(row.name for row in rows))
    with (
        tempfile.TemporaryDirectory() as folder,
        Sampler(config.power, ledger) as sampler,
        Crew(jobs, ledger) as crew,
        tqdm(desc="items through all rows", unit=" items", leave=False, disable=None) as bar,
    ):
        for turn, block in enumerate(_blocks(items, Path(folder))):
            if not turn:
                crew.warm(replace(block, is_kept=False))
            crew.run(block, turn)
            bar.update(block.shape[0])
        results = crew.results()
        kind = sampler.now().kind
    recalls = _recalls(bundle, config, pairs, {name: result for name, (_, result) in results.items()})
    spent = ledger.spent(kind)
    return Report(
        model=bundle.manifest.model,
        items=len(results[FULL][1].depths),
        overhead_only=pairs is None,
        said=said,
        rows=[figures(row, results, recalls.get(row.name), spent[row.name], kind, costs) for row in rows],
    )


def _recalls(
    bundle: Bundle, config: Config, pairs: Sequence[Pair] | None, results: Mapping[str, Result]
) -> dict[str, Recall]:
    if pairs is None:
        return {}
    files = Interpreters(bundle.folder, choose_runtime(config.runtime.backend), config.runtime.threads)
    text = TowerRunner(bundle.folder, bundle.manifest.tower("text"), files.invoke)
    judge = Judge(text, bundle.manifest.tower("image"), [pair.captions for pair in pairs])
    return {name: judge.recall(result, results[FULL]) for name, result in results.items()}


def _decoded(bundle: Bundle, pairs: Sequence[Pair]) -> Iterator[Floats]:
    image = TowerRunner(bundle.folder, bundle.manifest.tower("image"), Interpreters(bundle.folder, "", 1).invoke)
    return (image.start_images([pair.photo.read_bytes()]).tensor[0] for pair in pairs)


def _blocks(items: Iterator[Floats], folder: Path) -> Iterator[Block]:
    """Decoded items on disk, where all workers map them: one block at a time."""
    path = folder / "block.f32"
    while some := list(islice(items, BLOCK)):
        block = np.stack(some)
        path.write_bytes(block.tobytes())
        yield Block(path, block.shape)


def _said(bundle: Bundle, options: Options, config: Config, equal: Equal) -> tuple[str, ...]:
    tower = bundle.manifest.tower("image")
    what = "Flickr8k dev photos, recall with the best 50 finished at full depth from float32"
    fitted = f"; thresholds and exit of equal cost fitted on {FITTED} train photos" if options.exits is None else ""
    return (
        machine(choose_runtime(config.runtime.backend), options.threads),
        what if options.exits is None else "noise, with exits dealt by a given histogram: overhead only",
        (
            f"ours costs {equal.cost:.1%} of full depth's milliseconds; the fixed exit is depth"
            f" {tower.exits[equal.exit_].depth}{fitted}"
        ),
        (
            f"batches of {options.batch}; blocks of {BLOCK} items through every row in turn; without decoding,"
            " preprocessing, INT4 coding and writing; files in the page cache"
        ),
    )
