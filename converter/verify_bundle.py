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
from edge.bundle import Bank, Bundle, ImagePreprocess, Manifest, Model, TextPreprocess, Tower, Variant
from edge.errors import BundleError
from edge.items import Floats
from edge.relevance import Norm, Profile, gate_inputs, predictor_inputs, read_bank, scale_of
from edge.runtime import TextInput

ITEMS = 11  # at batch 8 the last batch is a short one
REFERENCE = "ai-edge-litert"
_PATCHES = 8  # colours a side of a noise picture: noise of single pixels is like no photo
_WORDS = ("a", "the", "dog", "two", "red", "house", "runs", "in", "on", "with", "water", "people", "old", "of", "seven")


@dataclass(frozen=True, slots=True)
class Step:
    """A model at its place in the tower: what it reads, by input name, and the value that it makes.

    whole: it makes logits, see converter.verify.Call
    """

    model: Model
    reads: Mapping[str, str]
    writes: str
    whole: bool = False


def verify_bundle(folder: Path, runtimes: Mapping[str, Path], console: Console) -> list[Parity]:
    """Run every file of a bundle in its chain and compare.

    runtimes: for each TFLite runtime a Python that has it, ai-edge-litert among them
    Raises BundleError for a damaged bundle, DriftError that names the first file which is too far off.
    """
    manifest = Bundle.open(folder).manifest
    bench, parities = _Bench(folder, runtimes, console), []
    for tower in manifest.towers:
        with console.step(f"{tower.modality}: {len(tower.segments)} segments, {len(tower.exits)} exits"):
            values, steps = noise(folder, tower), steps_of(tower, query_heads(manifest, tower))
            made = bench.references(steps, values)
            parities += bench.compare(steps, values, made)
            if manifest.bank is not None and tower.modality != "text":
                parities += _verify_nets(bench, manifest, manifest.bank, tower, made)
    return parities


@dataclass(frozen=True, slots=True)
class _Bench:
    """A bundle's folder, the runtimes to run its files on, and where to tell of it."""

    folder: Path
    runtimes: Mapping[str, Path]
    console: Console

    def references(self, steps: Sequence[Step], inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        """What each step makes in the device's first choice, by its name."""
        runs = [FileRun(path=str(found.path), reads=step.reads, writes=step.writes) for step, found in _first(steps)]
        made = run_files(self.folder, runs, inputs, self.runtimes[REFERENCE], REFERENCE, 1)
        return {run.writes: output for run, output in zip(runs, made, strict=True)}

    def compare(
        self, steps: Sequence[Step], inputs: Mapping[str, Floats], references: Mapping[str, Floats]
    ) -> list[Parity]:
        """Every variant of the steps, everywhere. Raises DriftError."""
        wanted, parities = _bounds(_first(steps)), []
        for runtime, python in self.runtimes.items():
            calls, bounds = _calls(steps, references, runtime)
            for batch in BATCHES:
                outputs = run_files(self.folder, calls, inputs, python, runtime, batch)
                for call, bound, output in zip(calls, bounds, outputs, strict=True):
                    parity = compare(call, output, runtime, batch)
                    self.console.say(str(parity))
                    _refuse_drift(parity, both(bound, wanted[call.writes.partition("@")[0]]))
                    parities.append(parity)
        return parities


def _verify_nets(
    bench: _Bench, manifest: Manifest, bank: Bank, tower: Tower, made: Mapping[str, Floats]
) -> list[Parity]:
    """Gates and predictor on what the bank says of the items in `made`. Raises BundleError, DriftError."""
    rows = read_bank(bench.folder, bank)
    if not np.isfinite(rows).all():
        raise BundleError(f"{bench.folder / bank.path} must hold finite numbers: convert again")
    nets = nets_of(tower)
    if not nets:
        return []
    own = manifest.tower("text").exits[-1].head
    asked = [Step(place.query or own, {"x": "bank"}, str(place.depth)) for place in tower.exits]
    banks = bench.references(asked, {"bank": rows})
    inputs = net_inputs(bench.folder, tower, [banks[step.writes] for step in asked], made)
    return bench.compare(nets, inputs, bench.references(nets, inputs))


def query_heads(manifest: Manifest, tower: Tower) -> list[Model]:
    """Heads for questions that other towers' exits have and `tower`, the one of text, runs; its own left out."""
    if tower.modality != "text":
        return []
    own = [place.head for place in tower.exits]
    others = [place.query for one in manifest.towers for place in one.exits if place.query is not None]
    return [model for model in dict.fromkeys(others) if model not in own]


def steps_of(tower: Tower, queries: Sequence[Model] = ()) -> list[Step]:
    """Segments in a row from the value "x", each exit's head behind its segment, and `queries` behind the last."""
    steps: list[Step] = []
    value = "x"
    for number, segment in enumerate(tower.segments):
        extra = {name: name for name in segment.extra}
        steps.append(Step(segment.model, {"x": value, **extra}, f"segment {number}"))
        value = f"segment {number}"
        steps += [Step(e.head, {"x": value}, f"exit {e.depth}") for e in tower.exits if e.segment == number]
    return steps + [Step(model, {"x": value}, f"query head {number}") for number, model in enumerate(queries)]


def nets_of(tower: Tower) -> list[Step]:
    """The small nets that choose an exit; each reads a value of its own, which `net_inputs` makes."""
    nets = [(f"gate {place.depth}", place.gate) for place in tower.exits if place.gate is not None]
    nets += [("predictor", tower.predictor.model)] if tower.predictor else []
    return [Step(model, {"x": f"{name} input"}, name, whole=True) for name, model in nets]


def net_inputs(folder: Path, tower: Tower, banks: Sequence[Floats], made: Mapping[str, Floats]) -> dict[str, Floats]:
    """What gates and predictor read of the items whose activations and embeddings `made` holds.

    banks: (R, D) for each exit. Raises BundleError when the predictor's norm does not fit.
    """
    places = tower.exits
    profiles = [Profile.of(made[f"exit {e.depth}"], bank, scale_of(e)) for e, bank in zip(places, banks, strict=True)]
    inputs = {
        f"gate {place.depth} input": gate_inputs(here, before)
        for place, here, before in zip(places, profiles, (None, *profiles), strict=False)
    }
    if tower.predictor is not None:
        path, first = folder / tower.predictor.norm, made[f"segment {places[0].segment}"]
        try:
            inputs["predictor input"] = predictor_inputs(profiles[0].numbers, first, Norm.read(path))
        except ValueError as error:
            raise BundleError(f"{path} does not fit the first exit ({error}): convert again") from None
    return inputs


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
    chain: dict[str, str] = {}  # the value that the device's choice of variants makes
    least: dict[str, float] = {}
    for step in steps:
        reads = {name: chain.get(value, value) for name, value in step.reads.items()}
        for variant in _right_on(step.model, runtime):
            writes = f"{step.writes}@{variant.path}"
            bound = min(LEAST_COSINE[variant.format], least.get(step.reads["x"], 1.0))
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
                    whole=step.whole,
                )
            )
    return calls, bounds


def _bounds(chain: Sequence[tuple[Step, Variant]]) -> dict[str, float]:
    """How close each value of a chain must be to torch: as close as its loosest file so far."""
    least: dict[str, float] = {}
    for step, variant in chain:
        least[step.writes] = min(LEAST_COSINE[variant.format], least.get(step.reads["x"], 1.0))
    return least


def _first(steps: Sequence[Step]) -> list[tuple[Step, Variant]]:
    return [(step, _right_on(step.model, REFERENCE)[0]) for step in steps]


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
