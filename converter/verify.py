"""Refuses to ship drift: every file is run on every runtime that it is for, and compared with torch.

Files run in chains, each on what the file before it gave on the same runtime, at batch 1 and 8: what is compared is
what the device computes.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import ReminisceError
from edge.items import Floats

BATCHES = (1, 8)
# full-int8 is for MLPs, .9994 measured: at .98 a fifth of a logit is wrong, which moves a chance by .05 at most.
LEAST_COSINE = {"float32": 0.9999, "float16": 0.999, "weight-int8": 0.99, "dynamic-int8": 0.99, "full-int8": 0.98}


class DriftError(ReminisceError, ValueError):
    """An exported file does not compute what torch computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRun:
    """One file to run. Values are named: inputs and outputs of all runs share one namespace.

    path:   inside the bundle
    reads:  input name of the file -> value
    writes: the value that it makes
    """

    path: str
    reads: Mapping[str, str]
    writes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(FileRun):
    """A file to run, and what must come of it.

    format:    decides how close it must be
    runtimes:  where it is run
    reference: the value that it makes, by torch, (N, ...)
    name:      what of the bundle it is, for an error: "the exit at depth 3"
    least:     the smallest cosine allowed, where it is above the format's
    remedy:    what to change when it drifts
    whole:     compared as one vector over all items, not item by item
    """

    format: str
    runtimes: tuple[str, ...]
    reference: Floats
    name: str = ""
    least: float = 0.0
    remedy: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How close one file came to torch: the smallest cosine and the largest difference over all items."""

    path: str
    runtime: str
    batch: int
    cosine: float
    difference: float

    def __str__(self) -> str:
        where = f"{self.runtime}, batch {self.batch}"
        return f"  {self.path:36} {where:24} cosine {self.cosine:.5f}  largest difference {self.difference:.2g}"


def verify(
    folder: Path,
    calls: Sequence[Call],
    inputs: Mapping[str, Floats],
    interpreters: Mapping[str, Path],
    report: Callable[[Parity], object],
) -> list[Parity]:
    """Run `calls` in order on each runtime, given a Python that has it. Raises DriftError where one falls short.

    inputs: (N, ...) named values to start from
    """
    parities: list[Parity] = []
    for runtime, python in interpreters.items():
        for batch in BATCHES:
            here = [call for call in calls if runtime in call.runtimes]
            for call, output in zip(here, run_files(folder, here, inputs, python, runtime, batch), strict=True):
                parity = compare(call, output, runtime, batch)
                report(parity)
                parities.append(parity)
                _refuse_drift(call, parity)
    return parities


def _refuse_drift(call: Call, parity: Parity) -> None:
    least = max(LEAST_COSINE[call.format], call.least)
    wanted = "verify.cosine" if call.least > LEAST_COSINE[call.format] else call.format
    if not parity.cosine >= least:
        raise DriftError(
            f"{call.path}{call.name and f' ({call.name})'} on {parity.runtime}, batch {parity.batch}:"
            f" cosine with torch is {parity.cosine:.5f}, {wanted} must reach {least}: nothing was packed"
            f"{call.remedy and f', {call.remedy}'}"
        )


def compare(call: Call, output: Floats, runtime: str, batch: int) -> Parity:
    """Activations are compared by their mean over positions, as heads read them; embeddings as they are.

    Logits of `whole` calls are one vector: where an item's are all near zero, or it has one alone, its own cosine says
    nothing. Their length counts too, as a cosine would not: chances are made of them.
    """
    wanted, got = (x.reshape(1, -1) if call.whole else _pooled(x) for x in (call.reference, output))
    lengths = np.linalg.norm(wanted, axis=1), np.linalg.norm(got, axis=1)
    product = np.maximum(*lengths) ** 2 if call.whole else lengths[0] * lengths[1]
    cosine = (wanted * got).sum(1) / np.maximum(product, 1e-12)
    difference = float(np.abs(call.reference - output).max())
    # A NaN must not pass as "not below".
    worst = float(cosine.min()) if np.isfinite(cosine).all() else -1.0
    return Parity(path=call.path, runtime=runtime, batch=batch, cosine=worst, difference=difference)


def _pooled(x: Floats) -> Floats:
    pooled: Floats = x.reshape(len(x), -1, x.shape[-1]).mean(1)
    return pooled


def run_files(
    folder: Path, calls: Sequence[FileRun], inputs: Mapping[str, Floats], python: Path, runtime: str, batch: int
) -> list[Floats]:
    """Outputs in the order of `calls`. In a process of its own. Raises DriftError when that fails.

    The two runtimes want different numpy, and a file that one of them cannot run may take the process with it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        job, values, outputs = (Path(scratch) / name for name in ("job.json", "in.npz", "out.npz"))
        np.savez(values, allow_pickle=False, **inputs)
        steps = [{"path": str(folder / c.path), "reads": dict(c.reads), "writes": c.writes} for c in calls]
        job.write_text(json.dumps({"runtime": runtime, "batch": batch, "calls": steps}))
        command = [str(python), "-m", "converter.run_files", str(job), str(values), str(outputs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_home())  # noqa: S603 - our own
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DriftError(f"{runtime} cannot run the exported files (exit code {done.returncode}): {last}")
        with np.load(outputs) as made:
            return [made[call.writes] for call in calls]


def _home() -> Path:
    """The folder that holds both packages, so that a Python without them installed can import them."""
    return Path(__file__).resolve().parent.parent
