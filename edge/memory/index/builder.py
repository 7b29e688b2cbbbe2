"""Starts the process that seals, and tells what became of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from edge.memory.index.blocks import Block, Rows
from edge.memory.index.forest import FOREST
from edge.memory.index.merge import DAMAGED, GONE
from edge.memory.index.sealed import UNFINISHED, Seal, close_seal, write_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What is to be sealed into `target`: `came`, and of the folder `old` what is not in `gone`.

    seal: of the result, but for its rows
    """

    came: Block
    old: Path | None
    gone: Rows
    seal: Seal
    target: Path
    with_forest: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a job: its target is there, or there is a problem.

    is_damage: the problem is what it had to read, and will be the next time
    """

    problem: str = ""
    is_damage: bool = False


class Builder:
    """One child process, which ends with this one at the latest."""

    def __init__(self, job: Job) -> None:
        """Start. Raises OSError when there is no room for what is handed over; leaves nothing behind then."""
        self.job = job
        self._folder = job.target.with_name(f"{job.target.name}.job{UNFINISHED}")
        try:
            unfinished = self._folder.with_suffix(f".0{UNFINISHED}")
            rows = write_rows(unfinished, [job.came], job.came.centre)
            (unfinished / GONE).write_bytes(job.gone.astype("<i8").tobytes())
            close_seal(
                unfinished, self._folder, replace(job.seal, rows=rows, dimension=len(job.came.centre)), durable=False
            )
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        what = FOREST if job.with_forest else "rows"
        paths = [str(self._folder), str(job.old or ""), str(job.target), what]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "edge.memory.index.build", *paths],
            stdin=subprocess.PIPE,  # its end tells the child that this process is gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def finished(self) -> Finished | None:
        """None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        _, errors = self._process.communicate()
        self._sweep()
        if code == 0:
            return Finished()
        shutil.rmtree(self.job.target, ignore_errors=True)
        said = errors.decode(errors="replace").strip().splitlines()
        return Finished(said[-1] if said else f"it ended with {code}", is_damage=code == DAMAGED)

    def stop(self) -> None:
        """End it, finished or not."""
        self._process.kill()
        self._process.communicate()
        self._sweep()

    def _sweep(self) -> None:
        for path in (self._folder, self.job.target.with_name(self.job.target.name + UNFINISHED)):
            shutil.rmtree(path, ignore_errors=True)
