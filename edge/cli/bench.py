"""`reminisce bench`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.cli.settings import settings
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.signals import signals_held

R = TypeVar("R")
LEAST = 10  # items of a memory: an answer has so many


def bench_remember(options: argparse.Namespace) -> int:
    """Every way to remember, on the same items."""
    with signals_held():
        from edge.bench.remember import Options, as_json, markdown, measure, svg  # noqa: PLC0415 - slow to import

    return _show(
        options,
        lambda bundle, config: measure(
            Options(
                bundle=bundle,
                data=options.data,
                exits=options.exits,
                limit=options.limit,
                batch=options.batch,
                threads=options.threads,
            ),
            config,
        ),
        markdown=markdown,
        as_json=as_json,
        svg=svg,
    )


def bench_recall(options: argparse.Namespace) -> int:
    """Every way to answer, over the same photos."""
    with signals_held():
        from edge.bench.recall import Options, as_json, markdown, measure, svg  # noqa: PLC0415 - slow to import

    return _show(
        options,
        lambda bundle, config: measure(
            Options(
                bundle=bundle,
                data=options.data,
                sizes=options.sizes,
                questions=options.questions,
                batch=options.batch,
                threads=options.threads,
            ),
            config,
        ),
        markdown=markdown,
        as_json=as_json,
        svg=svg,
    )


def bench_paper(options: argparse.Namespace) -> int:
    """The paper's figures beside ours."""
    with signals_held():
        from edge.bench.paper import markdown, read  # noqa: PLC0415 - slow to import

    print("\n\n".join(markdown(here) for here in read(options.files)))
    return 0


def _show(
    options: argparse.Namespace,
    run: Callable[[Path, Config], R],
    *,
    markdown: Callable[[R], str],
    as_json: Callable[[R], str],
    svg: Callable[[R], str],
) -> int:
    """Measure, print the report and write it where that was asked for."""
    for path in (options.picture, options.save):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):  # said before minutes are spent
            raise UsageError(f"{path} cannot be written: name a file in an existing folder")
    config = settings(options.config)
    report = run(options.bundle or Path(config.bundle or DEMO_BUNDLE), config)
    print(as_json(report) if options.json else markdown(report), flush=True)
    for path, page in ((options.picture, svg), (options.save, as_json)):
        if path is not None:
            _write(path, page(report))
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def shares(text: str) -> tuple[float, ...]:
    """Of a histogram: "0.5,0.3,0.2". Raises ArgumentTypeError."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 <= share < float("inf") for share in found) or sum(found) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be shares, one an exit, as in 0.5,0.3,0.2")
    return found


def count(text: str) -> int:
    """1 or more. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number, 1 or more")
    return int(text)


def sizes(text: str) -> tuple[int, ...]:
    """Of memories: "1000,10000". Raises ArgumentTypeError."""
    parts = text.split(",")
    found = [int(part) for part in parts if part.isdecimal()]
    if len(found) != len(parts) or found[0] < LEAST or found != sorted(set(found)):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be rising numbers of items, {LEAST} or more, as in 1000,10000"
        )
    return tuple(found)
