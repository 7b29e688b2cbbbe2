"""`reminisce bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.cli.settings import settings
from edge.config import DEMO_BUNDLE, Config
from edge.errors import UsageError
from edge.signals import signals_held

LEAST = 10  # items of a memory: an answer has so many


def bench_remember(options: argparse.Namespace) -> int:
    """Every way to remember, on the same items."""
    with signals_held():
        from edge.bench.remember import Options, as_json, markdown, measure, svg  # noqa: PLC0415 - slow to import

    config = settings(options.config)
    report = measure(
        Options(
            bundle=_bundle(options, config),
            data=options.data,
            exits=options.exits,
            limit=options.limit,
            batch=options.batch,
            threads=options.threads,
        ),
        config,
    )
    if options.picture is not None:
        _write(options.picture, svg(report))
    print(as_json(report) if options.json else markdown(report))
    return 0


def bench_recall(options: argparse.Namespace) -> int:
    """Every way to answer, over the same photos."""
    with signals_held():
        from edge.bench.recall import Options, as_json, markdown, measure, svg  # noqa: PLC0415 - slow to import

    config = settings(options.config)
    report = measure(
        Options(
            bundle=_bundle(options, config),
            data=options.data,
            sizes=options.sizes,
            questions=options.questions,
            batch=options.batch,
            threads=options.threads,
        ),
        config,
    )
    if options.picture is not None:
        _write(options.picture, svg(report))
    print(as_json(report) if options.json else markdown(report))
    return 0


def bench_paper(options: argparse.Namespace) -> int:
    """The paper's figures beside ours."""
    with signals_held():
        from edge.bench.paper import markdown, read  # noqa: PLC0415 - slow to import

    print("\n\n".join(markdown(here) for here in read(options.files)))
    return 0


def _bundle(options: argparse.Namespace, config: Config) -> Path:
    return options.bundle or Path(config.bundle or DEMO_BUNDLE)


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
