"""Recall and milliseconds of every exit, and of "exit, then the best 50 finished", on the Flickr8k dev photos.

    python -m edge.bench.exits --photos FLICKR8K [--limit N]

Each exit's embeddings are kept in a memory and searched there, as the device does it, each with the captions' own
embeddings for that exit; scores are cosines, without the bundle's calibration. The pool's fine scores come from
embeddings that were not stored, as when the pool is encoded again. Milliseconds are of one photo at batch 1, decoding
apart, all exits interleaved photo by photo; each exit's include its head.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge.bundle import Bundle, Exit
from edge.config import Config
from edge.demo import DEMO_BUNDLE
from edge.errors import ReminisceError
from edge.items import Arrival, Embedded, Floats
from edge.memory import Memory, Rows
from edge.pairs import Pair, read_flickr8k
from edge.recall import Filter, Granularities
from edge.runtime import Interpreters, TowerRunner, choose_runtime

POOL = 50
CUTS = (1, 5, 10)
GROUP = 32  # photos a commit
RECALL_IS_EXACT = sys.maxsize  # items before an approximate index is used: never
Ranks = npt.NDArray[np.int64]
MISSED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ExitFigures:
    """Recall at 1, 5, 10 of one exit alone and with its best 50 finished, and its milliseconds an item (median)."""

    depth: int
    alone: tuple[float, ...]
    finished: tuple[float, ...]
    milliseconds: float


def measure(bundle: Bundle, pairs: Sequence[Pair], threads: int) -> list[ExitFigures]:
    """Figures of every exit of the image tower, shallow to deep. Raises UnreadableItemError, RuntimeMissingError."""
    invoke = Interpreters(bundle.folder, choose_runtime("auto"), threads).invoke
    image, text = (TowerRunner(bundle.folder, bundle.manifest.tower(name), invoke) for name in ("image", "text"))
    captions = [caption for pair in pairs for caption in pair.captions]
    owners = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    bar = tqdm(captions, "captions", unit=" captions", leave=False, disable=None)
    queries = [Granularities(text, image.spec, caption) for caption in bar]  # one at a time, as the device asks
    embeddings, milliseconds = _embed_photos(image, pairs)
    last = image.spec.exits[-1].depth
    fine = _at(last, queries) @ embeddings[last].T
    figures = []
    for place in image.spec.exits:
        coarse, pool = _search(bundle, place.depth, embeddings[place.depth], queries)
        figures.append(
            ExitFigures(
                depth=place.depth,
                alone=recall(rank_of_own(coarse, owners)),
                finished=recall(rank_of_own(finish(fine, pool), owners)),
                milliseconds=milliseconds[place.depth],
            )
        )
    return figures


def rank_of_own(scores: Floats, owners: Ranks) -> Ranks:
    """(Q,) how many photos stand before each query's own in (Q, P) scores; equal scores count as before it."""
    own = scores[np.arange(len(scores)), owners]
    before = (scores >= own[:, None]).sum(1) - 1
    return np.where(np.isfinite(own), before, MISSED)


def recall(ranks: Ranks) -> tuple[float, ...]:
    """Share of queries whose own photo is among the first 1, 5, 10."""
    return tuple(float((ranks < cut).mean()) for cut in CUTS)


def finish(fine: Floats, pool: Ranks) -> Floats:
    """Fine scores (Q, P) of each query's pool (Q, POOL); all other photos can no longer be found."""
    finished = np.full_like(fine, -np.inf)
    np.put_along_axis(finished, pool, np.take_along_axis(fine, pool, axis=1), axis=1)
    return finished


def _search(bundle: Bundle, depth: int, embeddings: Floats, queries: Sequence[Granularities]) -> tuple[Floats, Rows]:
    """(Q, P) scores of every photo at one exit, and (Q, POOL) numbers of each query's best, out of a real memory."""
    with tempfile.TemporaryDirectory() as folder, Memory(Path(folder), bundle.fingerprint) as memory:
        for start in range(0, len(embeddings), GROUP):
            group = embeddings[start : start + GROUP]
            memory.accept([_photo(start + row) for row in range(len(group))])
            memory.index([Embedded(item=start + row + 1, depth=depth, embedding=one) for row, one in enumerate(group)])
        (stored,) = memory.partitions()
        filtering = Filter(memory, bundle.manifest.tower("image"), RECALL_IS_EXACT)
        size = min(POOL, len(embeddings))
        pool = [[candidate.item - 1 for candidate in filtering.best(query, size)] for query in queries]
        return _at(depth, queries) @ stored.embeddings[np.argsort(stored.ids)].T, np.array(pool)


def _photo(number: int) -> Arrival:
    """A photo by its number alone: ids count from 1, in the order of accepting."""
    name = str(number).encode()
    return Arrival(content=name, digest=hashlib.sha256(name).digest(), modality="image", source="", taken_at=None)


def _at(depth: int, queries: Sequence[Granularities]) -> Floats:
    """(Q, D) embeddings of the queries for the exit at `depth`."""
    return np.stack([query.at(depth) for query in queries])


def _embed_photos(image: TowerRunner, pairs: Sequence[Pair]) -> tuple[dict[int, Floats], dict[int, float]]:
    embeddings: dict[int, list[Floats]] = {place.depth: [] for place in image.spec.exits}
    spent: dict[int, list[float]] = {place.depth: [] for place in image.spec.exits}
    for pair in tqdm(pairs, "photos", unit=" photos", leave=False, disable=None):
        activation = image.start_images([pair.photo.read_bytes()])
        climbing = 0.0
        for place in image.spec.exits:
            start = time.perf_counter()
            activation = image.advance(activation, place.segment)
            climbing += time.perf_counter() - start
            start = time.perf_counter()
            embeddings[place.depth].append(image.embed(activation, place))
            spent[place.depth].append(climbing + time.perf_counter() - start)
    return (
        {depth: np.concatenate(parts) for depth, parts in embeddings.items()},
        {depth: 1e3 * statistics.median(times) for depth, times in spent.items()},
    )


def table(figures: Sequence[ExitFigures], exits: Sequence[Exit], layers: int) -> str:
    """The figures as a Markdown table."""
    full = figures[-1]
    lines = [
        f"| exit | ms a photo | share of ms | R@1 / 5 / 10 alone | R@1 / 5 / 10, best {POOL} finished | of full R@1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, (figure, _) in enumerate(zip(figures, exits, strict=True)):
        alone, finished = (" ".join(f"{value:.3f}" for value in values) for values in (figure.alone, figure.finished))
        share = figure.milliseconds / full.milliseconds
        kept = figure.finished[0] / full.alone[0]
        lines.append(
            f"| {number} (depth {figure.depth} of {layers}) | {figure.milliseconds:.1f} | {share:.0%}"
            f" | {alone} | {finished} | {kept:.0%} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edge.bench.exits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="Flickr8k in its official layout")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE, metavar="DIR", help="default: the demo bundle")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N dev photos, for a quick look")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit is {options.limit}: must be 1 or more")
    try:
        pairs = read_flickr8k(options.photos, "dev")[: options.limit]
        bundle = Bundle.open(options.bundle)
        threads = Config().runtime.threads
        figures = measure(bundle, pairs, threads)
    except ReminisceError as error:
        print(f"edge.bench.exits: {error}", file=sys.stderr)
        return error.exit_code
    tower = bundle.manifest.tower("image")
    print(
        f"{bundle.manifest.model}, Flickr8k dev, {len(pairs)} photos, batch 1,"
        f" {choose_runtime('auto')}, {threads} threads\n"
    )
    print(table(figures, tower.exits, tower.layers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
