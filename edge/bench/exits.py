"""Recall and milliseconds of every exit, and of "exit, then the best 50 finished", on the Flickr8k dev photos.

    python -m edge.bench.exits --photos FLICKR8K [--limit N]

Coarse embeddings go through the memory as the device keeps them (float16). Milliseconds are of one photo at batch 1,
decoding apart, all exits interleaved photo by photo; each exit's include its head.
"""

from __future__ import annotations

import argparse
import statistics
import sys
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
from edge.items import Floats
from edge.pairs import Pair, read_flickr8k
from edge.runtime import TowerRunner, choose_runtime

POOL = 50
CUTS = (1, 5, 10)
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
    runtime = choose_runtime("auto")
    image, text = (
        TowerRunner(bundle.folder, bundle.manifest.tower(modality), runtime, threads) for modality in ("image", "text")
    )
    queries, owners = _embed_captions(text, pairs)
    embeddings, milliseconds = _embed_photos(image, pairs)
    fine = queries @ embeddings[image.spec.exits[-1].depth].T
    figures = []
    for place in image.spec.exits:
        coarse = queries @ embeddings[place.depth].T
        figures.append(
            ExitFigures(
                depth=place.depth,
                alone=recall(rank_of_own(coarse, owners)),
                finished=recall(rank_of_own(_finish(coarse, fine), owners)),
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


def _finish(coarse: Floats, fine: Floats) -> Floats:
    """Fine scores of each query's best POOL by coarse score; all others can no longer be found."""
    finished = np.full_like(fine, -np.inf)
    pool = np.argsort(-coarse, axis=1, kind="stable")[:, :POOL]
    np.put_along_axis(finished, pool, np.take_along_axis(fine, pool, axis=1), axis=1)
    return finished


def _embed_captions(text: TowerRunner, pairs: Sequence[Pair]) -> tuple[Floats, Ranks]:
    last = text.spec.exits[-1]
    captions = [caption for pair in pairs for caption in pair.captions]
    owners = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    bar = tqdm(captions, "captions", unit=" captions", leave=False, disable=None)
    # One at a time, as the device asks.
    parts = [text.embed(text.advance(text.start_texts([caption]), last.segment), last) for caption in bar]
    return np.concatenate(parts), owners


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
        {depth: np.concatenate(parts).astype(np.float16).astype(np.float32) for depth, parts in embeddings.items()},
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
