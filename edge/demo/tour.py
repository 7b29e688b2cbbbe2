"""The two-minute tour: remember a folder of pictures, ask a few questions, take more from the keyboard."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from edge.config import Config
from edge.demo import DEMO_PICTURES
from edge.demo.sheet import write_sheet
from edge.engine import Engine
from edge.errors import ReminisceError, UsageError
from edge.items import Answer
from edge.memory import annoy_is_installed
from edge.remember import Outcome

QUESTIONS = ("mountains", "something sweet to eat", "an animal in the water", "someone at work")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})


def find_pictures(folder: Path) -> list[Path]:
    """Picture files below `folder`, sorted. Raises UsageError when there are none."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds pictures")
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    others = Counter(path.suffix.lower() or path.name for path in files if path.suffix.lower() not in SUFFIXES)
    if not found:
        raise UsageError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    if others and folder != DEMO_PICTURES:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        print(f"{folder}: files of other kinds are left out ({kinds})", file=sys.stderr)
    return found


def run_tour(config: Config, photos: Path | None, sheet: Path) -> int:
    """Run the tour in a temporary memory; returns the exit code, 1 when some pictures could not be remembered."""
    pictures = find_pictures(photos or DEMO_PICTURES)
    if sheet.is_dir() or not sheet.parent.is_dir():
        raise UsageError(f"{sheet} cannot be written: name a file in an existing folder with --sheet")
    with _temporary_folder() as state, Engine(config, Path(state)) as engine:
        manifest = engine.bundle.manifest
        _say(f"model {manifest.model} ({manifest.purpose}) on {engine.runtime}, {config.runtime.threads} threads")
        if not annoy_is_installed():
            _say("annoy is not installed: search is exact, which is right for thousands of items")
        refused = _remember(engine, pictures)
        answers = [_ask(engine, question) for question in _questions()]
        try:
            write_sheet(sheet, answers, engine.memory)
        except OSError as error:
            raise ReminisceError(f"{sheet} cannot be written ({error.strerror}): name another with --sheet") from None
        _say(f"\nAll answers with pictures: {sheet}")
    return 1 if refused else 0


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="reminisce-")
    except OSError as error:
        raise ReminisceError(
            f"no temporary folder can be made ({error.strerror}): set TMPDIR to one with room"
        ) from None


def _remember(engine: Engine, pictures: list[Path]) -> list[Outcome]:
    start = time.monotonic()
    bar = tqdm(engine.remember(pictures), "remembering", len(pictures), unit=" pictures", leave=False, disable=None)
    outcomes = list(bar)
    seconds = time.monotonic() - start
    refused = [outcome for outcome in outcomes if outcome.state == "refused"]
    for outcome in refused:
        print(f"{outcome.source}: {outcome.reason}", file=sys.stderr)
    counted = Counter(outcome.state for outcome in outcomes)
    kept, known = counted["remembered"], counted["known"]
    more = f", {known} of the same content" * bool(known) + f", {len(refused)} refused" * bool(refused)
    if not kept:
        raise ReminisceError("none of the pictures could be remembered")
    _say(f"remembered {kept} pictures in {seconds:.1f} s, {1e3 * seconds / len(pictures):.0f} ms a file{more}")
    return refused


def _questions() -> Iterator[str]:
    """A few of ours, then the keyboard's, if there is one."""
    yield from QUESTIONS
    if sys.stdin is not None and sys.stdin.isatty():
        _say("\nAsk something about the pictures (an empty line ends the tour).")
        yield from _typed()


def _typed() -> Iterable[str]:
    while True:
        try:
            question = input("? ").strip()
        except EOFError:
            return
        if not question:
            return
        yield question


def _ask(engine: Engine, question: str) -> Answer:
    answer = engine.ask(question)
    _say(
        f"\n“{answer.question}”  {answer.total_ms:.0f} ms: text {answer.query_ms:.0f},"
        f" search of {answer.searched} {answer.filter_ms:.1f}, {answer.refined} finished {answer.correct_ms:.0f}"
    )
    for rank, hit in enumerate(answer.hits, 1):
        _say(f"  {rank}. {Path(hit.item.source).name:36} score {hit.score:.2f}  exit at depth {hit.depth}")
    return answer


def _say(text: str) -> None:
    print(text, flush=True)
