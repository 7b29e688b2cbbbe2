"""What a benchmark ran on, in one line: absolute times belong to the machine that they name."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path


def machine(runtime: str, threads: int) -> str:
    """Date, processor, cores, runtime and threads; no host name."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    cores = os.cpu_count()
    return f"{date}, {_processor()}, {cores} cores, {runtime} {version(runtime)}, {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    """Board or processor by name, as far as the system knows it."""
    model = Path("/proc/device-tree/model")
    if model.is_file():
        return model.read_text(errors="replace").rstrip("\0\n")
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
