"""Recall, milliseconds and memory of the index: exact, and with its forest.

    python -m edge.bench.index --wordnet /usr/share/wordnet --photos FLICKR8K
    python -m edge.bench.index --rows 1000000

With --wordnet (data files of WordNet 3.0, Debian's wordnet-base) rows are glosses and questions the captions of
Flickr8k, both as the demo bundle's text tower sees them. Without, they are SYNTHETIC: points whose cosines are spread
like those measured between 300 Flickr8k dev photos and their captions at the demo bundle's last exit: photo and photo
.03 (standard deviation .16), caption and its own photo .39, caption and another .00 (.13). Recall is against a product
with every row as it is stored; anonymous memory is what the process has more than before it opened the index.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE
from edge.errors import ReminisceError, UsageError
from edge.items import Floats
from edge.memory.index import Changes, Limits, MemoryIndex, Rows
from edge.pairs import read_flickr8k
from edge.runtime import Interpreters, TowerRunner, choose_runtime

DEPTH, DIMENSION, CUT = 1, 384, 10
_OWN, _SHARED, _FALL = 0.39, 0.457, 0.95  # of the synthetic points; the last gives about 32 effective dimensions
_SENTENCES, _BLOCK = 64, 4_096
_SEED = 20251126


@dataclass(frozen=True, slots=True)
class Given:
    """Rows of one exit, and a memory that holds nothing else: what the index asks of its feed."""

    depth: int
    ids: Rows
    embeddings: Floats
    offsets: Floats

    @property
    def version(self) -> int:
        return 1

    @property
    def pruned(self) -> int:
        return 0

    @property
    def sequence(self) -> int:
        return self.version

    @property
    def added(self) -> tuple[Given, ...]:
        return ()

    @property
    def removed(self) -> Rows:
        return self.ids[:0]

    def changes(self, since: int) -> Changes:
        """There are none. Raises ValueError for a number that was not given out."""
        if since != self.version:
            raise ValueError(f"there is no change {since}")
        return self

    def counts(self) -> Mapping[int, int]:
        return {self.depth: len(self.ids)}

    def rows(self, depth: int) -> Iterator[Given]:
        for start in range(0, len(self.ids), _BLOCK):
            cut = slice(start, start + _BLOCK)
            yield Given(depth, self.ids[cut], np.array(self.embeddings[cut]), self.offsets[cut])


@dataclass(frozen=True, slots=True)
class Figures:
    """One way to search: recall of the best ten, milliseconds by the clock (median, 95th percentile), MB of memory.

    cpu_ms: median of the processor's time, which others on the machine disturb less
    """

    way: str
    recall: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    anonymous_mb: float


def measure(embeddings: Floats, questions: Floats, folder: Path) -> tuple[list[Figures], float]:
    """Exact search, then the forest's, and the seconds that the files took. Fails where annoy is not installed."""
    count = len(embeddings)
    given = Given(DEPTH, np.arange(count), embeddings, np.zeros(count, np.float32))
    truth = true_best(embeddings, questions)
    before = anonymous_mb()
    with MemoryIndex(
        folder, "bench", given, fingerprint="bench", scales={DEPTH: 1.0}, limits=Limits(forest_from=count)
    ) as index:
        figures = [ask(index, "exact", questions, truth, before)]
        start = time.monotonic()
        index.follow()
        while index.builder_pid:
            time.sleep(0.1)
            index.follow()
        built_s = time.monotonic() - start
        figures.append(ask(index, "forest", questions, truth, before))
    return figures, built_s


def ask(index: MemoryIndex, way: str, questions: Floats, truth: Rows, before_mb: float) -> Figures:
    """Every question once; the first ones, which bring the files into memory, are asked twice."""
    for question in questions[:50]:
        index.search(DEPTH, question, CUT)
    found, spent, computed = 0, [], []
    for question, expected in zip(questions, truth, strict=True):
        start, start_cpu = time.perf_counter(), time.thread_time()
        best = index.search(DEPTH, question, CUT)
        spent.append(1e3 * (time.perf_counter() - start))
        computed.append(1e3 * (time.thread_time() - start_cpu))
        found += len(np.intersect1d(best.ids, expected))
    p50, p95 = np.percentile(spent, (50, 95))
    cpu = float(np.median(computed))
    return Figures(way, found / truth.size, float(p50), float(p95), cpu, anonymous_mb() - before_mb)


def true_best(embeddings: Floats, questions: Floats) -> Rows:
    """(Q, CUT) row numbers by products with every row, rounded to float16 as it is stored."""
    kept, best = np.empty((len(questions), 0), np.float32), np.empty((len(questions), 0), np.int64)
    for start in range(0, len(embeddings), _BLOCK):
        rows = embeddings[start : start + _BLOCK].astype("<f2").astype(np.float32)
        kept = np.concatenate([kept, questions @ rows.T], axis=1)
        best = np.concatenate([best, np.tile(start + np.arange(len(rows)), (len(questions), 1))], axis=1)
        order = np.argsort(-kept, axis=1, kind="stable")[:, :CUT]
        kept, best = np.take_along_axis(kept, order, axis=1), np.take_along_axis(best, order, axis=1)
    return best


def synthetic(rows: int, questions: int) -> tuple[Floats, Floats]:
    """Points as the module's text tells."""
    random = np.random.default_rng(_SEED)
    spectrum = np.arange(1, DIMENSION + 1, dtype=np.float32) ** (-_FALL / 2)
    items = _unit(random.standard_normal((rows, DIMENSION), dtype=np.float32) * spectrum)
    own = items[random.integers(0, rows, questions)]
    alike = _unit(random.standard_normal((questions, DIMENSION), dtype=np.float32) * spectrum)
    other = _unit(random.standard_normal((questions, DIMENSION), dtype=np.float32))
    rest = _SHARED**0.5 * alike + (1 - _SHARED) ** 0.5 * other
    return items, _unit(_OWN * own + (1 - _OWN**2) ** 0.5 * rest)


def sentences(wordnet: Path, photos: Path, rows: int, questions: int) -> tuple[Floats, Floats]:
    """Embeddings of glosses and of captions. Raises UsageError, ReminisceError."""
    glosses = list(dict.fromkeys(_glosses(wordnet)))
    captions = [caption for pair in read_flickr8k(photos, "train") for caption in pair.captions]
    random = np.random.default_rng(_SEED)
    some = [glosses[row] for row in sorted(random.permutation(len(glosses))[:rows])]
    asked = [captions[row] for row in sorted(random.permutation(len(captions))[:questions])]
    bundle = Bundle.open(DEMO_BUNDLE)
    invoke = Interpreters(bundle.folder, choose_runtime("auto"), 1).invoke
    text = TowerRunner(bundle.folder, bundle.manifest.tower("text"), invoke)
    return _features(text, some), _features(text, asked)


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/smaps_rollup tells of no anonymous memory")


def _glosses(wordnet: Path) -> Iterator[str]:
    for part in ("noun", "verb", "adj", "adv"):
        try:
            lines = (wordnet / f"data.{part}").read_text(encoding="latin-1").splitlines()
        except OSError as error:
            raise UsageError(f"{error.filename} cannot be read: name the folder of WordNet's data files") from None
        yield from (line.partition("| ")[2].strip() for line in lines if not line.startswith("  "))


def _features(text: TowerRunner, texts: Sequence[str]) -> Floats:
    """(N, D) of unit norm: what the tower makes of sentences, before any head."""
    segment = text.spec.exits[-1].segment
    parts = [
        text.advance(text.start_texts(texts[start : start + _SENTENCES]), segment).tensor
        for start in tqdm(range(0, len(texts), _SENTENCES), "sentences", leave=False, disable=None)
    ]
    return _unit(np.concatenate(parts))


def _unit(rows: Floats) -> Floats:
    made: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edge.bench.index", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="WordNet's data files; default: synthetic points")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="Flickr8k in its official layout, for --wordnet")
    parser.add_argument("--rows", type=int, default=100_000, metavar="N")
    parser.add_argument("--questions", type=int, default=1_000, metavar="N")
    options = parser.parse_args(arguments)
    if (options.wordnet is None) != (options.photos is None):
        parser.error("--wordnet and --photos go together")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        try:
            if options.wordnet:
                rows, questions = sentences(options.wordnet, options.photos, options.rows, options.questions)
            else:
                rows, questions = synthetic(options.rows, options.questions)
        except ReminisceError as error:
            print(f"edge.bench.index: {error}", file=sys.stderr)
            return error.exit_code
        np.save(path, rows)
        del rows  # mapped from here on: it must not count as memory
        embeddings = np.load(path, mmap_mode="r")
        figures, built_s = measure(embeddings, questions, Path(folder) / "index")
        bytes_ = sum(file.stat().st_size for file in (Path(folder) / "index").rglob("*"))
    what = "glosses of WordNet, captions of Flickr8k" if options.wordnet else "SYNTHETIC"
    print(f"{what}: {len(embeddings):,} x {DIMENSION}, {len(questions):,} questions; files {bytes_ / 1e6:.0f} MB,")
    print(f"made in {built_s:.0f} s\n\n| search | recall@{CUT} | p50 ms | p95 ms | CPU ms | anonymous MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in figures:
        times = f"{row.p50_ms:.1f} | {row.p95_ms:.1f} | {row.cpu_ms:.1f}"
        print(f"| {row.way} | {row.recall:.3f} | {times} | {row.anonymous_mb:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
