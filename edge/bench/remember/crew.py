"""The workers of all rows: each block of items goes through every row in turn, so that noise hits all alike."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType

from edge.bench.remember.worker import Block, Job, Result, Took, work
from edge.errors import ReminisceError
from edge.power import Ledger

_END_S = 10.0


class WorkerError(ReminisceError, RuntimeError):
    """A row's process ended before its work; what it said stands above."""


@dataclass(frozen=True, slots=True)
class _Member:
    process: BaseProcess
    orders: Connection


class Crew:
    """A context manager: a process for each job runs in between. Joules of a block are its row's in `ledger`."""

    def __init__(self, jobs: Sequence[Job], ledger: Ledger) -> None:
        self._jobs, self._ledger = jobs, ledger
        self._members: dict[str, _Member] = {}
        self._took: dict[str, list[Took]] = {job.row.name: [] for job in jobs}
        self._stack = ExitStack()

    def __enter__(self) -> Crew:
        fresh = multiprocessing.get_context("spawn")  # nothing of this process in their memory
        for job in self._jobs:
            ours, theirs = fresh.Pipe()
            process = fresh.Process(target=work, args=(theirs, job), name=job.row.name, daemon=True)
            process.start()
            theirs.close()
            self._members[job.row.name] = _Member(process, ours)
            self._stack.callback(_end, process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def warm(self, block: Block) -> None:
        """A first block, which opens files and learns paces and is not counted; its results are not kept either."""
        for name in self._members:
            self._ask(name, block)

    def run(self, block: Block, turn: int) -> None:
        """One block through every row; `turn` says which row begins."""
        names = list(self._members)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            with self._ledger.during(name):
                took = self._ask(name, block)
            self._took[name].append(took)
            self._ledger.count(name, block.shape[0])

    def results(self) -> Mapping[str, tuple[list[Took], Result]]:
        """What every row took, block by block, and made."""
        return {name: (self._took[name], self._result(name)) for name in self._members}

    def _ask(self, name: str, block: Block) -> Took:
        took = self._exchange(name, block)
        if not isinstance(took, Took):
            raise TypeError(f"{name} answered with {type(took).__name__}")
        return took

    def _result(self, name: str) -> Result:
        result = self._exchange(name, None)
        if not isinstance(result, Result):
            raise TypeError(f"{name} answered with {type(result).__name__}")
        return result

    def _exchange(self, name: str, order: Block | None) -> object:
        orders = self._members[name].orders
        try:
            orders.send(order)
            answer: object = orders.recv()
        except (EOFError, OSError):
            raise WorkerError(f"the process of row {name} ended before its work: what it said stands above") from None
        return answer


def _end(process: BaseProcess) -> None:
    process.join(0)
    if process.is_alive():
        process.terminate()
        process.join(_END_S)
