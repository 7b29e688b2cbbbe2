"""The chains that `verify` runs: every file of both towers, with what torch makes of the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from converter import layout
from converter.learnt import Learnt
from converter.towers.tower import ItemTower, QueryTower
from converter.verify import Call
from edge.bundle import Exit, Tower, Variant
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
            name = f"the question's head of the exit at depth {depth}"
            calls += [replace(_call(one, {"x": "features"}, reference), name=name) for one in entry.variants]
    return calls + _net_calls(spec, learnt, inputs)


def query_calls(tower: QueryTower, spec: Tower, words: Mapping[str, Floats]) -> list[Call]:
    """Each variant of the one segment, from the values "words" and "mask"."""
    (whole,) = spec.segments
    inputs = [torch.from_numpy(words[name]) for name in ("x", *whole.extra)]
    reads = {"x": "words", **{name: name for name in whole.extra}}
    reference = tower.segment(*inputs)
    variants = whole.model.variants
    return [replace(_call(one, reads, reference), remedy=_instead(one, "query")) for one in variants]


def _net_calls(spec: Tower, learnt: Learnt, inputs: Mapping[str, Floats]) -> list[Call]:
    nets = [(f"gate-{place.depth}", learnt.gates[place.depth], place.gate) for place in spec.exits if place.gate]
    if learnt.predictor is not None and spec.predictor is not None:
        nets.append(("predictor", learnt.predictor.net, spec.predictor.model))
    return [
        replace(_call(one, {"x": value}, net(torch.from_numpy(inputs[value]))), whole=True)
        for value, net, entry in nets
        for one in entry.variants
    ]


def _chain(tower: ItemTower, spec: Tower, learnt: Learnt, pixels: Tensor, number: int, cosine: float) -> list[Call]:
    calls: list[Call] = []
    exits = {place.segment: place for place in spec.exits}
    x, value, start = pixels, "pixels", 0
    for index, segment in enumerate(spec.segments):
        x = tower.segment(start, segment.depth)(x)
        start = segment.depth
        variant = segment.model.variants[number]
        whole = _call(variant, {"x": value}, x)
        calls.append(replace(whole, name=f"layers up to {segment.depth}", remedy=_instead(variant, "item")))
        value = whole.writes
        if place := exits.get(index):
            embedding = learnt.items[place.depth](x)
            heads = [_call(head, {"x": value}, embedding) for head in place.head.variants]
            calls += [_behind(variant, place, head, cosine) for head in heads]
    return calls


def _behind(variant: Variant, place: Exit, head: Call, cosine: float) -> Call:
    """The head of an exit on those runtimes where the variant of the segment before it is run."""
    return replace(
        head,
        runtimes=tuple(one for one in head.runtimes if one in variant.runtimes),
        name=f"the exit at depth {place.depth} behind {variant.format} segments",
        least=cosine,
        remedy=_instead(variant, "item"),
    )


def _instead(variant: Variant, tower: str) -> str:
    return f"put another format in place of {variant.format} in {tower}.formats"


def _call(variant: Variant, reads: dict[str, str], reference: Tensor) -> Call:
    return Call(
        path=str(variant.path),
        format=variant.format,
        runtimes=variant.runtimes,
        reads=reads,
        writes=f"{'+'.join(reads.values())}>{variant.path}",
        reference=reference.detach().numpy(),
    )
