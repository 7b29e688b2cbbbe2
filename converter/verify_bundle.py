"""Does a finished bundle compute one thing? Every file on every runtime, at batch 1 and 8, against the first choice.

torch is gone by now, so what the device takes first is the reference: the first variant, on ai-edge-litert, at batch 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.console import Console
from converter.verify import BATCHES, LEAST_COSINE, Call, DriftError, FileRun, Parity, compare, run_files
from edge.bundle import Bundle, ImagePreprocess, Model, TextPreprocess, Tower, Variant
from edge.items import Floats
from edge.runtime import TextInput

ITEMS = 11  # at batch 8 the last batch is a short one
REFERENCE = "ai-edge-litert"
_PATCHES = 8  # colours a side of a noise picture: noise of single pixels is like no photo
_WORDS = ("a", "the", "dog", "two", "red", "house", "runs", "in", "on", "with", "water", "people", "old", "of", "seven")


@dataclass(frozen=True, slots=True)
class Step:
    """A model at its place in the tower: what it reads, by input name, and the value that it makes."""

    model: Model
    reads: Mapping[str, str]
    writes: str


def verify_bundle(folder: Path, runtimes: Mapping[str, Path], console: Console) -> list[Parity]:
    """Run every file of a bundle in its chain and compare.

    runtimes: for each TFLite runtime a Python that has it, ai-edge-litert among them
    Raises BundleError for a damaged bundle, DriftError that names the first file which is too far off.
    """
    manifest = Bundle.open(folder).manifest
    parities = []
    for tower in manifest.towers:
        with console.step(f"{tower.modality}: {len(tower.segments)} segments, {len(tower.exits)} exits"):
            parities += _verify_tower(folder, tower, runtimes, console)
    return parities


def _verify_tower(folder: Path, tower: Tower, runtimes: Mapping[str, Path], console: Console) -> list[Parity]:
    inputs, steps = noise(folder, tower), steps_of(tower)
    first = [(step, _right_on(step.model, REFERENCE)[0]) for step in steps]
    runs = [FileRun(path=str(variant.path), reads=step.reads, writes=step.writes) for step, variant in first]
    made = run_files(folder, runs, inputs, runtimes[REFERENCE], REFERENCE, 1)
    references = {run.writes: output for run, output in zip(runs, made, strict=True)}
    wanted = _bounds(first)
    parities = []
    for runtime, python in runtimes.items():
        calls, bounds = _calls(steps, references, runtime)
        for batch in BATCHES:
            outputs = run_files(folder, calls, inputs, python, runtime, batch)
            for call, bound, output in zip(calls, bounds, outputs, strict=True):
                parity = compare(call, output, runtime, batch)
                console.say(str(parity))
                _refuse_drift(parity, both(bound, wanted[call.writes.partition("@")[0]]))
                parities.append(parity)
    return parities


def steps_of(tower: Tower) -> list[Step]:
    """Segments in a row from the value "x", and each exit's head behind its segment."""
    steps: list[Step] = []
    value = "x"
    for number, segment in enumerate(tower.segments):
        extra = {name: name for name in segment.extra}
        steps.append(Step(segment.model, {"x": value, **extra}, f"segment {number}"))
        value = f"segment {number}"
        steps += [Step(e.head, {"x": value}, f"exit {e.depth}") for e in tower.exits if e.segment == number]
    return steps


def noise(folder: Path, tower: Tower) -> dict[str, Floats]:
    """Inputs of the first segment, of ITEMS pictures or sentences that are the same every time."""
    chance = np.random.default_rng(0)
    match tower.preprocess:
        case TextPreprocess() as words:
            sentences = [" ".join(chance.choice(_WORDS, size=3 + number)) for number in range(ITEMS)]
            return TextInput(folder, words).inputs(sentences)
        case ImagePreprocess(size=size, mean=mean, scale=scale):
            patches = chance.integers(0, 256, (ITEMS, _PATCHES, _PATCHES, 3))
            side = -(-size // _PATCHES)
            pictures = patches.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size]
            return {"x": ((pictures - np.asarray(mean)) / np.asarray(scale)).astype(np.float32)}


def both(one: float, other: float) -> float:
    """The least cosine of two vectors that are within the cosines `one` and `other` of a third: their angles add up."""
    return math.cos(math.acos(one) + math.acos(other))


def _calls(steps: Sequence[Step], references: Mapping[str, Floats], runtime: str) -> tuple[list[Call], list[float]]:
    """Every variant for `runtime`, each on what the device's chain gives there; and how close each is to torch."""
    calls, bounds = [], []
    chain = {"x": "x"}  # the value that the device's choice of variants makes
    least = {"x": 1.0}
    for step in steps:
        reads = {name: chain.get(value, value) for name, value in step.reads.items()}
        for variant in _right_on(step.model, runtime):
            writes = f"{step.writes}@{variant.path}"
            bound = min(LEAST_COSINE[variant.format], least[step.reads["x"]])
            chain.setdefault(step.writes, writes)
            least.setdefault(step.writes, bound)
            bounds.append(bound)
            calls.append(
                Call(
                    path=str(variant.path),
                    format=variant.format,
                    runtimes=variant.runtimes,
                    reads=reads,
                    writes=writes,
                    reference=references[step.writes],
                )
            )
    return calls, bounds


def _bounds(chain: Sequence[tuple[Step, Variant]]) -> dict[str, float]:
    """How close each value of a chain must be to torch: as close as its loosest file so far."""
    least = {"x": 1.0}
    for step, variant in chain:
        least[step.writes] = min(LEAST_COSINE[variant.format], least[step.reads["x"]])
    return least


def _right_on(model: Model, runtime: str) -> list[Variant]:
    found = [variant for variant in model.variants if runtime in variant.runtimes]
    if not found:
        names = ", ".join(str(variant.path) for variant in model.variants)
        raise DriftError(f"{names}: no variant is for {runtime}, so the tower cannot be run there")
    return found


def _refuse_drift(parity: Parity, least: float) -> None:
    if not parity.cosine >= least:
        raise DriftError(
            f"{parity.path} on {parity.runtime}, batch {parity.batch}: cosine with the default on {REFERENCE}, batch 1,"
            f" is {parity.cosine:.5f}, must reach {least:.4f}: do not use this bundle, convert again"
        )
