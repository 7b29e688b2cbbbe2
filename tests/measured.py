"""A command of `reminisce-convert` from start to end, and what it took of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from commands import ROOT

QUIET = 0.25  # cores that others may use, in the mean, where a time is still ours


@dataclass(frozen=True)
class Measured:
    """What a command said and took, its children included.

    seconds: wall time; peak_mb: the most that one of its processes held; others: cores used by everyone else, mean
    """

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: float
    others: float

    @property
    def is_quiet(self) -> bool:
        """Whether `seconds` are those of this command alone on two cores."""
        return self.others < QUIET

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, at most {self.peak_mb:.0f} MB, others used {self.others:.2f} cores meanwhile"


def measured(folder: Path, *arguments: str | Path) -> Measured:
    """Run a command; what it says goes to files in `folder` first."""
    out, err = folder / "out.txt", folder / "err.txt"
    began, busy = time.monotonic(), _busy()
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            [sys.executable, "-m", "converter.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            cwd=ROOT,
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    others = max(0.0, _busy() - busy - used.ru_utime - used.ru_stime) / seconds
    return Measured(process.returncode, out.read_text(), err.read_text(), seconds, used.ru_maxrss * 1024 / 1e6, others)


def _busy() -> float:
    """Seconds that the cores have worked since the machine started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))
