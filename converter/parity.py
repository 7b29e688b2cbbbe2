"""The chains that `verify` runs: every file of both towers, with what torch makes of the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from converter.verify import Call
from edge.bundle import Model, Tower
from edge.items import Floats


def image_calls(tower: Tower, segments: Sequence[nn.Module], heads: Sequence[nn.Module], pixels: Floats) -> list[Call]:
    """Segments in a row from the value "pixels", and each exit's head on its segment's end."""
    calls: list[Call] = []
    exits = {place.segment: (place, head) for place, head in zip(tower.exits, heads, strict=True)}
    x, value = torch.from_numpy(pixels), "pixels"
    for number, (spec, module) in enumerate(zip(tower.segments, segments, strict=True)):
        x = module(x)
        calls += _calls(spec.model, {"x": value}, x.numpy())
        value = calls[-1].writes
        if number in exits:
            place, head = exits[number]
            calls += _calls(place.head, {"x": value}, head(x).numpy())
    return calls


def text_calls(tower: Tower, segment: nn.Module, head: nn.Module, words: Floats, mask: Floats) -> list[Call]:
    """Each variant of the one segment from the values "words" and "mask", and the head behind each."""
    x = segment(torch.from_numpy(words), torch.from_numpy(mask))
    embedding = head(x).numpy()
    (whole,), (last,) = tower.segments, tower.exits
    calls = []
    for call in _calls(whole.model, {"x": "words", "mask": "mask"}, x.numpy()):
        behind = _calls(last.head, {"x": call.writes}, embedding)
        calls += [call, *(_within(call, one) for one in behind)]
    return calls


def _calls(model: Model, reads: dict[str, str], reference: Floats) -> list[Call]:
    return [
        Call(
            path=str(variant.path),
            format=variant.format,
            runtimes=variant.runtimes,
            reads=reads,
            writes=f"{'+'.join(reads.values())}>{variant.path}",
            reference=reference,
        )
        for variant in model.variants
    ]


def _within(call: Call, behind: Call) -> Call:
    """`behind` on the runtimes of the call whose output it reads."""
    runtimes = tuple(runtime for runtime in behind.runtimes if runtime in call.runtimes)
    return replace(behind, runtimes=runtimes)
