"""How long a question takes through broker and daemon, and which part of that is MQTT.

    python -m edge.bench.round_trip [--items 1000] [--questions 300]

A broker and a daemon run as in the tour; the items are the shipped pictures, again and again with other bytes behind
their end. A question has 200 bytes of payload and another text each time. "MQTT" is what is left of the round trip
without the milliseconds that the daemon says it spent on the answer: both connections, the broker, JSON, the queue.
Each kind of question is asked in turn with the others, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge.adding import Uploader
from edge.config import Config
from edge.demo import DEMO_PICTURES
from edge.demo.stack import tour_stack
from edge.errors import BrokerError, ReminisceError
from edge.mqtt import Requester, encode

PAYLOAD_BYTES = 200
KINDS: Mapping[str, Mapping[str, Any]] = {
    "coarse search alone": {"refine": False},
    "best 50 finished": {"refine": True},
}
_ANSWER_S = 60
_WARM_UP = 5  # questions of each kind that are not counted: the first ones load the text tower
_PATIENCE_S = 60
_ENVELOPE_BYTES = 94  # of version, id and reply topic, which the client adds


@dataclass(frozen=True, slots=True)
class Trips:
    """One kind of question: milliseconds of each round trip, and of the device in it."""

    kind: str
    total_ms: Sequence[float]
    device_ms: Sequence[float]

    @property
    def mqtt_ms(self) -> list[float]:
        return [total - device for total, device in zip(self.total_ms, self.device_ms, strict=True)]


def measure(items: int, questions: int) -> list[Trips]:
    """Fill a device with `items` pictures, ask `questions` of each kind. Raises BrokerError, ReminisceError."""
    uploader = Uploader()
    spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with (
        tempfile.TemporaryDirectory(prefix="reminisce-bench-") as folder,
        tour_stack(Config(), uploader.heard) as stack,
    ):
        _fill(uploader, stack.client, list(shipped_pictures(Path(folder), items)))
        for number in range(_WARM_UP):
            for fields in KINDS.values():
                _ask(stack.client, number, fields)
        for number in tqdm(range(questions), "asking", unit=" rounds", leave=False, disable=None):
            for kind, fields in KINDS.items():
                spent[kind].append(_ask(stack.client, number, fields))
    return [Trips(kind, *map(list, zip(*times, strict=True))) for kind, times in spent.items()]


def shipped_pictures(folder: Path, count: int) -> Iterator[Path]:
    """So many files in `folder`, no two of the same content."""
    shipped = sorted(DEMO_PICTURES.glob("*.jpg"))
    for number in range(count):
        # Behind a JPEG's end anything may stand: other bytes, the same picture.
        file = folder / f"{number:06}.jpg"
        file.write_bytes(shipped[number % len(shipped)].read_bytes() + number.to_bytes(4, "big"))
        yield file


def _fill(uploader: Uploader, client: Requester, files: list[Path]) -> None:
    with tqdm(total=2 * len(files), desc="filling", unit=" steps", leave=False, disable=None) as bar:
        for _ in uploader.add(client, files):
            bar.update()
        for _ in uploader.follow(client, _PATIENCE_S):
            bar.update()
    if uploader.embedding:
        raise BrokerError(f"{len(uploader.embedding)} pictures were not embedded")


def _ask(client: Requester, number: int, fields: Mapping[str, Any]) -> tuple[float, float]:
    asked = {"text": f"picture number {number}", **fields}
    asked["text"] += " " * (PAYLOAD_BYTES - _ENVELOPE_BYTES - len(encode(asked)))
    start = time.perf_counter()
    reply = client.request(client.topics.query, asked, _ANSWER_S)
    return (time.perf_counter() - start) * 1e3, reply["took_ms"]


def table(trips: Sequence[Trips]) -> str:
    """p50 / p95 of every kind as a Markdown table."""
    lines = ["| question | round trip p50 / p95 ms | of it the device | of it MQTT |", "| --- | --- | --- | --- |"]
    for one in trips:
        cells = (_quantiles(values) for values in (one.total_ms, one.device_ms, one.mqtt_ms))
        lines.append(f"| {one.kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _quantiles(values: Sequence[float]) -> str:
    return " / ".join(f"{np.percentile(values, share):.1f}" for share in (50, 95))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edge.bench.round_trip",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--items", type=int, default=1_000, metavar="N", help="pictures remembered (default: 1000)")
    parser.add_argument("--questions", type=int, default=300, metavar="N", help="of each kind (default: 300)")
    options = parser.parse_args(arguments)
    if options.items < 1 or options.questions < 1:
        parser.error("--items and --questions must be 1 or more")
    try:
        trips = measure(options.items, options.questions)
    except ReminisceError as error:
        print(f"edge.bench.round_trip: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.items} items, {options.questions} questions of each kind, {platform.machine()}\n")
    print(table(trips))
    return 0


if __name__ == "__main__":
    sys.exit(main())
