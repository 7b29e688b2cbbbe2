"""One memory in a process of its own: its first question, its memory, and questions while it remembers."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from edge.bench.holding import Holding
from edge.bench.recall.crowd import arrival
from edge.bench.recall.device import HITS, POOL, Device, Job, open_device, open_towers
from edge.bench.recall.figures import Visited, percentiles
from edge.bench.remember.crew import WorkerError
from edge.bundle import Bundle
from edge.errors import ReminisceError
from edge.items import Arrival, Floats
from edge.recall import Granularities
from edge.runtime import TowerRunner

_LOOK_S = 0.005
_WARM = 3  # questions before memory is read
_BACKLOG = 64  # photos that wait at least, so that remembering never rests
_GROUP = 64
_PAUSE_S = 0.05  # between questions: without it, those that are fast would leave nothing to remember


@dataclass(frozen=True, slots=True)
class Visit:
    """What is asked of a memory, and the photos that it remembers meanwhile."""

    job: Job
    texts: Sequence[str]
    photos: Sequence[Path]


def visit(what: Visit) -> Visited:
    """Run it in a new process. Raises ReminisceError, as that process met it, and WorkerError."""
    fresh = multiprocessing.get_context("spawn")  # nothing of this process in its memory
    ours, theirs = fresh.Pipe(duplex=False)
    process = fresh.Process(target=_answer, args=(theirs, what), daemon=True)
    process.start()
    theirs.close()
    try:
        answer: object = ours.recv()
    except EOFError:
        raise WorkerError(f"the process of memory {what.job.kept} ended before its work") from None
    except BaseException:  # we are told to end: so is it
        process.terminate()
        raise
    finally:
        process.join()
    if isinstance(answer, ReminisceError):
        raise answer
    if not isinstance(answer, Visited):
        raise TypeError(f"the process of memory {what.job.kept} answered with {type(answer).__name__}")
    return answer


def _answer(answers: Connection, what: Visit) -> None:
    try:
        answers.send(_visited(what))
    except ReminisceError as error:
        answers.send(error)


def _visited(what: Visit) -> Visited:
    began = time.perf_counter()
    with (
        Holding(os.getpid(), _LOOK_S) as memory,
        open_towers(Bundle.open(what.job.bundle), what.job.config) as towers,
        open_device(what.job, towers) as device,
    ):
        items = device.filtering.refresh()
        open_ms = (time.perf_counter() - began) * 1e3
        cold_ms, *_ = [device.ask(text, POOL).total_ms for text in what.texts[:_WARM]]
        anonymous_mb, resident_mb = memory.most_anonymous / 1e6, memory.now("VmHWM") / 1e6
        agreement = _agreement(device, towers.text, what.texts)
        coarse_ms, fine_ms, items_per_s = _while_remembering(device, what, towers.failures)
    return Visited(
        kept=what.job.kept,
        items=items,
        agreement=agreement,
        open_ms=open_ms,
        cold_ms=cold_ms,
        coarse_ms=percentiles(coarse_ms),
        fine_ms=percentiles(fine_ms),
        items_per_s=items_per_s,
        anonymous_mb=anonymous_mb,
        resident_mb=resident_mb,
    )


def _agreement(device: Device, text: TowerRunner, texts: Sequence[str]) -> float:
    """Of the best ten with those of products with every row."""
    spec = device.spec
    queries = [Granularities(text, spec, one) for one in texts]
    scores: list[Floats] = []
    parts = device.memory.partitions()
    for part in parts:
        cosines = np.stack([query.at(part.depth) for query in queries]) @ part.embeddings.T
        map_ = spec.exit_at(part.depth).calibration
        scores.append(cosines if map_ is None else np.float32(map_.cosine) * cosines + part.offsets)
    ids, together = np.concatenate([part.ids for part in parts]), np.concatenate(scores, axis=1)
    truth = ids[np.argsort(-together, axis=1, kind="stable")[:, :HITS]]
    found = [[one.item for one in device.filtering.best(query, HITS)] for query in queries]
    both = [len(set(mine) & set(exact)) for mine, exact in zip(found, truth.tolist(), strict=True)]
    return sum(both) / truth.size


def _while_remembering(
    device: Device, what: Visit, failures: Sequence[BaseException]
) -> tuple[list[float], list[float], float]:
    """Milliseconds of coarse and of fine answers, and photos a second that could be found meanwhile."""
    coarse_ms: list[float] = []
    fine_ms: list[float] = []
    arriving = _arriving(what.photos, device.memory.tally.items)
    with device.follower, device.intake:
        _top_up(device, arriving)
        began, before = time.perf_counter(), _found(device)
        for text in what.texts:
            for pool, spent in ((0, coarse_ms), (POOL, fine_ms)):
                time.sleep(_PAUSE_S)
                _top_up(device, arriving)
                start = time.perf_counter()
                device.ask(f"{text} ", pool)  # with the blank, another text than was asked before
                spent.append((time.perf_counter() - start) * 1e3)
        while device.memory.tally.waiting and not failures:  # the next to come must find nothing that waits
            time.sleep(_PAUSE_S)
        items_per_s = (_found(device) - before) / (time.perf_counter() - began)
    return coarse_ms, fine_ms, items_per_s


def _found(device: Device) -> int:
    tally = device.memory.tally
    return tally.items - tally.waiting


def _top_up(device: Device, arriving: Iterator[Arrival]) -> None:
    while device.memory.tally.waiting < _BACKLOG:
        device.memory.accept([next(arriving) for _ in range(_GROUP)])
        device.intake.wake()


def _arriving(photos: Sequence[Path], first: int) -> Iterator[Arrival]:
    """Without end, no two of the same content."""
    for number in count(first):
        # Behind a JPEG's end anything may stand: other bytes, the same picture.
        yield arrival(photos[number % len(photos)], number.to_bytes(4, "big"))
