"""How much memory the daemon takes while it remembers and answers: a real one, behind a real broker, on any bundle.

    python -m edge.bench.memory --bundle my-clip/bundle [--weights streamed] [--batch 16] [--depth 6] [--limit-mb 180]

The items are the shipped pictures. A question is asked while a third of them can be found, so the text tower is loaded
by then. Anonymous memory is what the system cannot take back; VmHWM counts mapped files, too, which it can; VmData is
what a limit of the process's data counts (--data-mb sets it, as `prlimit --data` does), filled or only set aside.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from edge.adding import Uploader
from edge.bench.holding import Holding
from edge.bench.round_trip import shipped_pictures
from edge.config import Config, MemoryConfig, RememberConfig, RuntimeConfig, Weights
from edge.demo.stack import tour_stack
from edge.errors import BrokerError, ReminisceError, UsageError
from edge.mqtt import Requester

_LOOK_S = 0.003
_ANSWER_S = 120
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a run took: megabytes of 1,000,000 bytes, and its speed.

    anonymous_mb: the most at a time; resident_mb: VmHWM; data_mb: VmData at the end
    answer_ms:    of the question that came meanwhile
    """

    items: int
    anonymous_mb: float
    resident_mb: float
    data_mb: float
    items_per_s: float
    answer_ms: float


def measure(config: Config, items: int, data_mb: int | None) -> Taken:
    """Have a daemon remember `items` pictures and answer one question. Raises BrokerError, ReminisceError.

    data_mb: megabytes of data that it may have; None: as many as it wants
    """
    uploader = Uploader()
    with (
        tempfile.TemporaryDirectory(prefix="reminisce-bench-") as folder,
        tour_stack(config, uploader.heard, _limit(data_mb)) as stack,
        Holding(stack.pid, _LOOK_S) as holding,
    ):
        began = time.perf_counter()
        answer_ms = _remember(uploader, stack.client, shipped_pictures(Path(folder), items), items // 3)
        took_s = time.perf_counter() - began
        return Taken(
            items=items,
            anonymous_mb=holding.most_anonymous / 1e6,
            resident_mb=holding.now("VmHWM") / 1e6,
            data_mb=holding.now("VmData") / 1e6,
            items_per_s=items / took_s,
            answer_ms=answer_ms,
        )


def _remember(uploader: Uploader, client: Requester, files: Iterator[Path], asked_at: int) -> float:
    """Send all, and ask once so many of them can be found; the milliseconds of that answer."""
    accepted, answer_ms = 0, 0.0
    for sent in itertools.chain(uploader.add(client, files), uploader.follow(client, _PATIENCE_S)):
        accepted += sent is not None
        if not answer_ms and accepted - len(uploader.embedding) >= asked_at:
            began = time.perf_counter()
            client.request(client.topics.query, {"text": "a dog", "limit": 1}, _ANSWER_S)
            answer_ms = (time.perf_counter() - began) * 1e3
    if uploader.embedding:
        raise BrokerError(f"{len(uploader.embedding)} pictures were not embedded")
    return answer_ms


def _limit(data_mb: int | None) -> list[str]:
    if data_mb is None:
        return []
    if (program := shutil.which("prlimit")) is None:
        raise UsageError("there is no prlimit, which --data-mb needs: sudo apt install util-linux")
    return [program, f"--data={data_mb * 1_000_000}"]


def line(taken: Taken) -> str:
    """For people."""
    return (
        f"{taken.items} items: at most {taken.anonymous_mb:.0f} MB anonymous, VmHWM {taken.resident_mb:.0f} MB,"
        f" VmData {taken.data_mb:.0f} MB at the end; {taken.items_per_s:.1f} items/s,"
        f" the answer meanwhile in {taken.answer_ms:.0f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what it took; returns the exit code."""
    options = _parser().parse_args(arguments)
    config = Config(
        bundle=options.bundle and str(options.bundle),
        runtime=RuntimeConfig(threads=1),
        memory=MemoryConfig(weights=options.weights, limit_mb=options.limit_mb),
        remember=RememberConfig(exit_depth=options.depth, batch=options.batch),
    )
    try:
        taken = measure(config, options.items, options.data_mb)
    except ReminisceError as error:
        print(f"edge.bench.memory: {error}", file=sys.stderr)
        return error.exit_code
    limit = f", limit_mb {options.limit_mb}" if options.limit_mb else ""
    print(f"{options.weights} weights, batches of {options.batch}{limit}, {platform.machine()}")
    print(line(taken))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edge.bench.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the demo bundle")
    parser.add_argument("--weights", choices=get_args(Weights), default="streamed", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="items that ride together (default: 16)")
    parser.add_argument("--items", type=int, default=96, metavar="N", help="pictures remembered (default: 96)")
    parser.add_argument("--depth", type=int, metavar="N", help="the exit for all (default: the bundle's policy)")
    parser.add_argument("--limit-mb", type=int, metavar="MB", help="the config's memory.limit_mb (default: none)")
    parser.add_argument("--data-mb", type=int, metavar="MB", help="megabytes of data that it may have")
    return parser


if __name__ == "__main__":
    sys.exit(main())
