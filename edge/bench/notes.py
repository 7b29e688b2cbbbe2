"""Photos and notes in one answer: recall of each alone, merged by relevance, and merged by plain cosine.

    python -m edge.bench.notes --data FLICKR8K [--bundle DIR] [--limit N]

Of every dev photo of Flickr8k the memory holds the photo and, as a note, its second caption; its first caption asks. So
the notes are captions: short, in the words of the questions, and of just what the photos show. What people write down
is none of that, and is found less often; what this shows is how the two stand in one ranking. Photos leave as the
policy of the bundle lets them, and the best of the pool are finished, as on the device.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge.config import Config
from edge.demo import DEMO_BUNDLE
from edge.engine import Engine
from edge.errors import ReminisceError, UsageError
from edge.items import EVERYTHING, Arrival, Hit, Modality, Question, Selection
from edge.pairs import Pair, read_flickr8k

LIMIT = 10  # of an answer
GROUP = 32  # items a commit
_WAYS = ("photos alone", "notes alone", "merged by relevance", "merged by cosine")


@dataclass(frozen=True, slots=True)
class Row:
    """Of one way to answer: recall@1 and @10 of the question's photo and of its note; None where it is not asked."""

    way: str
    photo: tuple[float, float] | None
    note: tuple[float, float] | None


def measure(bundle: Path, pairs: Sequence[Pair], state: Path) -> list[Row]:
    """One row for each way. Raises ReminisceError; UsageError for a bundle that takes no notes."""
    with Engine(Config(bundle=str(bundle)), state) as engine:
        if "text" not in engine.modalities:
            raise UsageError(f"bundle: {bundle} takes no notes: convert it again")
        photos = [_arrival(pair.photo.read_bytes(), "image") for pair in pairs]
        notes = [_arrival(pair.captions[1].encode(), "text") for pair in pairs]
        _fill(engine, [*photos, *notes])
        answers = [_ask(engine, pair.captions[0]) for pair in tqdm(pairs, "questions", leave=False, disable=None)]
    rows = []
    for number, way in enumerate(_WAYS):
        hits = [answer[number] for answer in answers]
        of_photos, of_notes = (_recalls(hits, [one.digest for one in wanted]) for wanted in (photos, notes))
        rows.append(Row(way, None if number == 1 else of_photos, None if number == 0 else of_notes))
    return rows


def by_cosine(photos: Sequence[Hit], notes: Sequence[Hit]) -> list[Hit]:
    """The best of two answers by score: what a merge without calibration would show."""
    return sorted([*photos, *notes], key=lambda hit: -hit.score)[:LIMIT]


def _ask(engine: Engine, text: str) -> tuple[Sequence[Hit], ...]:
    """The answer of every way, best first."""

    def hits(narrowing: Selection) -> Sequence[Hit]:
        found = engine.retriever.ask(Question(text=text, limit=LIMIT, narrowing=narrowing)).hits
        while engine.refining.write():  # what was finished stays so, as in the daemon
            pass
        return found

    photos, notes = (hits(Selection(modality=modality)) for modality in ("image", "text"))
    return photos, notes, hits(EVERYTHING), by_cosine(photos, notes)


def _recalls(answers: Sequence[Sequence[Hit]], wanted: Sequence[bytes]) -> tuple[float, float]:
    ranks = [
        next((rank for rank, hit in enumerate(hits) if hit.item.digest == digest), LIMIT)
        for hits, digest in zip(answers, wanted, strict=True)
    ]
    return float(np.mean([rank < 1 for rank in ranks])), float(np.mean([rank < LIMIT for rank in ranks]))


def _arrival(content: bytes, modality: Modality) -> Arrival:
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality=modality, source="", taken_at=None)


def _fill(engine: Engine, arrivals: Sequence[Arrival]) -> None:
    for start in tqdm(range(0, len(arrivals), GROUP), "remembering", leave=False, disable=None):
        engine.memory.accept(arrivals[start : start + GROUP])
        while engine.intake.remember_group():
            pass


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| answer of ten | R@1 / 10 of the photo | R@1 / 10 of the note |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {row.way} | {_cell(row.photo)} | {_cell(row.note)} |" for row in rows)])


def _cell(recalls: tuple[float, float] | None) -> str:
    return "" if recalls is None else " ".join(f"{value:.3f}" for value in recalls)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edge.bench.notes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Flickr8k in its official layout")
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE, metavar="DIR", help="default: the demo bundle")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N dev photos, for a quick look")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit is {options.limit}: must be 1 or more")
    try:
        pairs = read_flickr8k(options.data, "dev")[: options.limit]
        with tempfile.TemporaryDirectory() as state:
            rows = measure(options.bundle, pairs, Path(state))
    except ReminisceError as error:
        print(f"edge.bench.notes: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.bundle.name}, Flickr8k dev: {len(pairs)} photos, as many captions as notes\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
