"""The chains that `verify` runs: every file of both towers, with what torch makes of the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from converter import layout
from converter.learnt import Learnt
from converter.towers.tower import ItemTower, QueryTower
from converter.verify import Call
from edge.bundle import Model, Tower, Variant
from edge.items import Floats


def inputs_of(learnt: Learnt, features: Floats) -> dict[str, Floats]:
    """Named values to start from beside pixels and words: query features, and inputs of gates and predictor."""
    values = {"features": features}
    random = np.random.default_rng(0)
    for depth, gate in learnt.gates.items():
        mean, scale = (gate.get_buffer(name).numpy() for name in ("mean", "scale"))
        values[f"gate-{depth}"] = (mean + scale * random.standard_normal((len(features), len(mean)))).astype(np.float32)
    if learnt.predictor is not None:
        values["predictor"] = learnt.predictor.samples[: len(features)]
    return values


def item_calls(
    tower: ItemTower, spec: Tower, learnt: Learnt, inputs: Mapping[str, Floats], cosine: float
) -> list[Call]:
    """For each format of the segments a chain from the value "pixels", with the heads behind; then the small nets.

    cosine: the least that an exit's embedding must reach, beside its format's bound
    """
    calls: list[Call] = []
    for chain in range(len(spec.segments[0].model.variants)):
        calls += _chain(tower, spec, learnt, torch.from_numpy(inputs["pixels"]), chain, cosine)
    written = set()
    for depth, entry in layout.query_heads(learnt).items():
        if entry not in written:
            written.add(entry)
            reference = learnt.queries[depth](torch.from_numpy(inputs["features"]))
            calls += _calls(entry, {"x": "features"}, reference, f"the question's head of the exit at depth {depth}")
    for place in spec.exits:
        if place.gate is not None:
            x = torch.from_numpy(inputs[f"gate-{place.depth}"])
            calls += _calls(place.gate, {"x": f"gate-{place.depth}"}, learnt.gates[place.depth](x))
    if learnt.predictor is not None and spec.predictor is not None:
        x = torch.from_numpy(inputs["predictor"])
        calls += _calls(spec.predictor.model, {"x": "predictor"}, learnt.predictor.net(x))
    return calls


def query_calls(tower: QueryTower, spec: Tower, words: Mapping[str, Floats]) -> list[Call]:
    """Each variant of the one segment, from the values "words" and "mask"."""
    (whole,) = spec.segments
    inputs = [torch.from_numpy(words[name]) for name in ("x", *whole.extra)]
    reads = {"x": "words", **{name: name for name in whole.extra}}
    return _calls(whole.model, reads, tower.segment(*inputs))


def _chain(tower: ItemTower, spec: Tower, learnt: Learnt, pixels: Tensor, number: int, cosine: float) -> list[Call]:
    calls: list[Call] = []
    exits = {place.segment: place for place in spec.exits}
    x, value, start = pixels, "pixels", 0
    for index, segment in enumerate(spec.segments):
        x = tower.segment(start, segment.depth)(x)
        start = segment.depth
        variant = segment.model.variants[number]
        calls.append(_call(variant, {"x": value}, x))
        value = calls[-1].writes
        if place := exits.get(index):
            embedding = learnt.items[place.depth](x)
            name = f"the exit at depth {place.depth} behind {variant.format} segments"
            calls += [
                _call(head, {"x": value}, embedding, name, cosine, variant.runtimes) for head in place.head.variants
            ]
    return calls


def _calls(entry: Model, reads: dict[str, str], reference: Tensor, name: str = "") -> list[Call]:
    return [_call(variant, reads, reference, name) for variant in entry.variants]


def _call(
    variant: Variant,
    reads: dict[str, str],
    reference: Tensor,
    name: str = "",
    cosine: float = 0.0,
    among: tuple[str, ...] | None = None,
) -> Call:
    runtimes = variant.runtimes if among is None else tuple(one for one in variant.runtimes if one in among)
    return Call(
        path=str(variant.path),
        format=variant.format,
        runtimes=runtimes,
        reads=reads,
        writes=f"{'+'.join(reads.values())}>{variant.path}",
        reference=reference.detach().numpy(),
        name=name,
        least=cosine,
    )
