"""A process for each row, so that its memory is its own: takes blocks of decoded items, says what each took."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge.bank import Banks
from edge.bench.holding import Holding
from edge.bench.remember.rows import Row
from edge.bench.remember.ways import Confidence, Dealt
from edge.bundle import Bundle, Tower
from edge.config import Config
from edge.items import Floats
from edge.policy import Exits
from edge.remember import Elevator, Fixed, Policy, open_policy
from edge.runtime import Activation, Compute, Invoke, Pace, TowerRunner, choose_runtime, item_bytes, open_weights

_LOOK_S = 0.02  # how often the process looks at its own memory


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Leave where confident: (E,) nats."""

    nats: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Leave as dealt: (E,) shares."""

    shares: tuple[float, ...]


Plan: TypeAlias = "int | Thresholds | Histogram | None"  # a fixed exit's number; None is the bundle's policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row's work: `config` says bundle, weights, threads and batch."""

    row: Row
    plan: Plan
    config: Config
    bundle: Path


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded items: `path` holds float32 of `shape` (N, side, side, 3). is_kept: whether results count."""

    path: Path
    shape: tuple[int, ...]
    is_kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What a block took: seconds on the wall, of the processor, and on the compute thread busy and inside `invoke`."""

    wall_s: float
    processor_s: float
    busy_s: float
    invoke_s: float
    waiting_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a row made of N items, in their order: (N,) depths, (N, D) embeddings, (N,) offsets; and its memory."""

    depths: Exits
    embeddings: Floats
    offsets: Floats
    anonymous_bytes: int
    resident_bytes: int


def work(orders: Connection, job: Job) -> None:
    """Answer each Block with a Took, and None with the Result of all of them."""
    with Holding(os.getpid(), _LOOK_S) as memory, _elevator(job) as (elevator, compute):
        batch = 1 if job.row.alone else job.config.remember.batch
        parts: list[tuple[int, Floats, float]] = []
        while (block := orders.recv()) is not None:
            took, made = _run(elevator, compute, block, batch)
            parts += made if block.is_kept else []
            orders.send(took)
        depths, embeddings, offsets = zip(*parts, strict=True)
        orders.send(
            Result(
                depths=np.array(depths),
                embeddings=np.stack(embeddings),
                offsets=np.array(offsets, dtype=np.float32),
                anonymous_bytes=memory.most_anonymous,
                resident_bytes=memory.now("VmHWM"),
            )
        )


def _run(
    elevator: Elevator, compute: Compute, block: Block, batch: int
) -> tuple[Took, list[tuple[int, Floats, float]]]:
    items = np.memmap(block.path, dtype=np.float32, mode="r", shape=block.shape)
    made: list[tuple[int, Floats, float]] = []
    wall_s = processor_s = 0.0
    before = compute.time
    for start in range(0, len(items), batch):
        arrived = [Activation(np.array(item[None]), 0, {}) for item in items[start : start + batch]]
        began_wall, began_processor = time.perf_counter(), time.process_time()
        left = elevator.ride(arrived)
        wall_s += time.perf_counter() - began_wall
        processor_s += time.process_time() - began_processor
        left.sort(key=lambda one: one.place)
        made += [(one.exit.depth, one.embedding, one.offset) for one in left]
    after = compute.time
    return (
        Took(
            wall_s=wall_s,
            processor_s=processor_s,
            busy_s=after.busy_s - before.busy_s,
            invoke_s=after.invoke_s - before.invoke_s,
            waiting_s=after.waiting_s - before.waiting_s,
        ),
        made,
    )


@contextlib.contextmanager
def _elevator(job: Job) -> Iterator[tuple[Elevator, Compute]]:
    failures: list[BaseException] = []
    bundle = Bundle.open(job.bundle)
    manifest, folder = bundle.manifest, bundle.folder
    runtime = choose_runtime(job.config.runtime.backend)
    with (
        open_weights(bundle, runtime, job.config, failures.append) as weights,
        Compute(weights, Pace(item_bytes(manifest)), lambda: None, 1.0, failures.append) as compute,
    ):
        image, text = (TowerRunner(folder, manifest.tower(name), compute.background) for name in ("image", "text"))
        policy = _policy(job, image.spec, compute.background)
        yield Elevator(image, policy, Banks(folder, manifest.bank, text)), compute
    for failure in failures:
        raise failure


def _policy(job: Job, tower: Tower, invoke: Invoke) -> Policy:
    match job.plan:
        case int():
            return Fixed(job.plan)
        case Thresholds():
            return Confidence(job.plan.nats)
        case Histogram():
            return Dealt(job.plan.shares)
        case None:
            return open_policy(tower, job.config.remember, job.bundle, invoke)
