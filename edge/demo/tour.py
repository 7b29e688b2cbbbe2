"""The two-minute tour: a broker, a daemon and this client. Remember pictures, ask a few questions, take more."""

from __future__ import annotations

import json
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from edge.adding import Uploader, find_pictures
from edge.config import Config
from edge.demo import DEMO_PICTURES
from edge.demo.sheet import Answered, write_sheet
from edge.demo.stack import Stack, tour_stack
from edge.engine import open_bundle
from edge.errors import ReminisceError, UsageError
from edge.memory import annoy_is_installed
from edge.mqtt import read_reply
from edge.runtime import choose_runtime

QUESTIONS = ("mountains", "something sweet to eat", "an animal in the water", "someone at work")
_ANSWER_S = 120
_PATIENCE_S = 60
_LOOK_S = 0.5


def run_tour(config: Config, photos: Path | None, sheet: Path, *, as_json: bool) -> int:
    """Run the tour in a temporary memory; returns the exit code, 1 when some pictures could not be remembered."""
    say: Callable[[str], None] = (lambda _: None) if as_json else _say
    pictures = _pictures(photos)
    if sheet.is_dir() or not sheet.parent.is_dir():
        raise UsageError(f"{sheet} cannot be written: name a file in an existing folder with --sheet")
    manifest, runtime = open_bundle(config).manifest, choose_runtime(config.runtime.backend)
    threads = config.runtime.threads
    uploader = Uploader()
    with tour_stack(config, uploader.heard) as stack:
        say(f"model {manifest.model} ({manifest.purpose}) on {runtime}, {threads} thread{'s' * (threads > 1)}")
        say(f"broker: {stack.broker}")
        if not annoy_is_installed():
            say("annoy is not installed: search is exact, which is right for thousands of items")
        files, refused = _remember(uploader, stack, pictures, say)
        answers = []
        for question in _questions(say):
            answers.append(_ask(stack, question, files))
            print(json.dumps(_fields(answers[-1]))) if as_json else _show(answers[-1])
    try:
        write_sheet(sheet, answers)
    except OSError as error:
        raise ReminisceError(f"{sheet} cannot be written ({error.strerror}): name another with --sheet") from None
    say(f"\nAll answers with pictures: {sheet}")
    return 1 if refused else 0


def _pictures(photos: Path | None) -> list[Path]:
    if photos is not None and not photos.is_dir():
        raise UsageError(f"{photos} is not a folder: give one that holds pictures")
    found, others = find_pictures([photos or DEMO_PICTURES])
    if others and photos is not None:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        print(f"{photos}: files of other kinds are left out ({kinds})", file=sys.stderr)
    return found


def _remember(
    uploader: Uploader, stack: Stack, pictures: Sequence[Path], say: Callable[[str], None]
) -> tuple[dict[str, Path], int]:
    """The file of each item, and how many files were refused."""
    start = time.monotonic()
    files: dict[str, Path] = {}
    counted: Counter[str] = Counter()
    with tqdm(total=len(pictures), desc="remembering", unit=" pictures", leave=False, disable=None) as bar:
        for sent in uploader.add(stack.client, pictures):
            bar.update(not sent.is_late)
            first = files.setdefault(sent.item, sent.file) if sent.item else sent.file
            counted[sent.state] += 1
            counted["accepted"] -= sent.is_late
            if sent.state == "rejected":
                print(f"{first if sent.is_late else sent.file}: {sent.reason}", file=sys.stderr)
        for late in uploader.follow(stack.client, _PATIENCE_S):
            if late is not None and late.item is not None:
                counted.update(rejected=1, accepted=-1)
                print(f"{files[late.item]}: {late.reason}", file=sys.stderr)
    if not counted["accepted"]:
        raise ReminisceError("none of the pictures could be remembered")
    seconds, known, refused = time.monotonic() - start, counted["duplicate"], counted["rejected"]
    more = f", {known} of the same content" * bool(known) + f", {refused} refused" * bool(refused)
    each = 1e3 * seconds / len(pictures)
    say(f"remembered {counted['accepted']} pictures in {seconds:.1f} s, {each:.0f} ms a file{more}")
    return files, refused


def _questions(say: Callable[[str], None]) -> Iterator[str]:
    """A few of ours, then the keyboard's, if there is one."""
    yield from QUESTIONS
    if sys.stdin is not None and sys.stdin.isatty():
        say("\nAsk something about the pictures (an empty line ends the tour).")
        yield from _typed()


def _typed() -> Iterable[str]:
    while True:
        print("? ", end="", flush=True)
        while not select.select([sys.stdin], [], [], _LOOK_S)[0]:
            pass  # a signal that comes just before a wait is acted upon after it
        try:
            question = input().strip()
        except EOFError:
            return
        if not question:
            return
        yield question


def _ask(stack: Stack, question: str, files: dict[str, Path]) -> Answered:
    reply = stack.client.request(stack.client.topics.query, {"text": question}, _ANSWER_S)
    return Answered(question, read_reply(reply), files)


def _show(answered: Answered) -> None:
    reply = answered.reply
    _say(
        f"\n“{answered.question}”  {reply.took_ms:.0f} ms: {reply.query_ms:.0f} for the text,"
        f" {reply.filter_ms:.1f} to search {reply.searched}, {reply.correct_ms:.0f} to finish {reply.refined}"
    )
    for rank, hit in enumerate(reply.results, 1):
        name = answered.files[hit.item].name
        _say(f"  {rank}. {name:36} {hit.figures}, exit at depth {hit.exit_depth}{hit.company}")


def _fields(answered: Answered) -> dict[str, object]:
    hits = [
        {
            "file": str(answered.files[hit.item]),
            "score": hit.score,
            **({} if hit.relevance is None else {"relevance": hit.relevance}),
            "exit_depth": hit.exit_depth,
        }
        for hit in answered.reply.results
    ]
    return {"question": answered.question, "took_ms": answered.reply.took_ms, "results": hits}


def _say(text: str) -> None:
    print(text, flush=True)
