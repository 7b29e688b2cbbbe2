"""How much memory a bundle will take while it runs, estimated from its manifest.

What counts is anonymous memory, which the system cannot take back: the runtime's own packed copy of the weights, not
the file that is mapped beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from edge.bundle import Manifest, Model, Segment, Tower
from edge.runtime.interpreter import choose_variant
from edge.runtime.pace import WORK_BYTES

# Measured, a byte of the file: what is not stored as it computes is unpacked, and for tflite-runtime or INT8 twice.
_PACKED = {
    "ai-edge-litert": {"float32": 1.0, "float16": 2.1, "weight-int8": 8, "dynamic-int8": 1.1, "full-int8": 1.1},
    "tflite-runtime": {"float32": 1.0, "float16": 4.4, "weight-int8": 8, "dynamic-int8": 1.1, "full-int8": 1.1},
}
# Measured, a byte of a segment's input and output: convolutions widen a map six-fold and unfold it; attention is lean.
_TENSORS_OF_MAPS, _TENSORS_OF_TOKENS = 30, 5
PROCESS_BYTES = 40 << 20  # the daemon with an empty memory and no model


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Anonymous memory, estimated, in bytes: of everything in one process."""

    resident: int
    streamed: int


def item_bytes(manifest: Manifest) -> dict[Model, int]:
    """What the tensors of one item take in a call, estimated, for each segment's model."""
    return {segment.model: _tensors(segment) for tower in manifest.towers for segment in tower.segments}


def footprint(manifest: Manifest, runtime: str, streamed: Tower, batch: int) -> Footprint:
    """Of a process that runs a bundle with all of `streamed` in memory, or two of its segments.

    batch: items that ride together. Raises RuntimeMissingError when a file has no variant for the runtime.
    """
    models = {model for tower in manifest.towers for model in _stay(tower)}  # exits may share one
    others = [segment for tower in manifest.towers if tower != streamed for segment in tower.segments]
    stay = sum(_packed(manifest, model, runtime) for model in models)
    stay += sum(_packed(manifest, segment.model, runtime) + _tensors(segment) for segment in others)
    each = [_packed(manifest, segment.model, runtime) + _work(segment, batch) for segment in streamed.segments]
    two = max((one + other for one, other in pairwise((*each, each[0]))))
    return Footprint(resident=PROCESS_BYTES + stay + sum(each), streamed=PROCESS_BYTES + stay + min(two, sum(each)))


def tower_bytes(manifest: Manifest, runtime: str, tower: Tower) -> int:
    """Of one tower alone, all of it in memory. Raises RuntimeMissingError as `footprint` does."""
    segments = sum(_packed(manifest, segment.model, runtime) + _tensors(segment) for segment in tower.segments)
    return segments + sum(_packed(manifest, model, runtime) for model in set(_stay(tower)))


def largest_bytes(manifest: Manifest, runtime: str, tower: Tower) -> int:
    """Of the largest file of one tower, for when there is no other in memory. Raises RuntimeMissingError as well."""
    segments = [_packed(manifest, segment.model, runtime) + _tensors(segment) for segment in tower.segments]
    return max([*segments, *(_packed(manifest, place.head, runtime) for place in tower.exits)])


def _stay(tower: Tower) -> Iterator[Model]:
    """The small files, which are in memory in either case."""
    for place in tower.exits:
        yield from (model for model in (place.head, place.query, place.gate) if model)
    if tower.predictor:
        yield tower.predictor.model


def _packed(manifest: Manifest, model: Model, runtime: str) -> int:
    variant = choose_variant(model, runtime)
    return int(manifest.files[str(variant.path)].bytes * _PACKED[runtime][variant.format])


def _work(segment: Segment, batch: int) -> int:
    """The tensors of its largest call, see Pace."""
    each = _tensors(segment)
    return each * min(batch, max(1, WORK_BYTES // each))


def _tensors(segment: Segment) -> int:
    width = _TENSORS_OF_MAPS if len(segment.input) > 2 else _TENSORS_OF_TOKENS  # (tokens, width)
    return width * 4 * (math.prod(segment.input) + math.prod(segment.output))
