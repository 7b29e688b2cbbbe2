"""Writes the files of both towers, as `layout` names them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from converter import layout
from converter.export import Format, export
from converter.learnt import Learnt
from converter.towers.tower import ItemTower, QueryTower
from edge.bundle import Tower
from edge.relevance import pack_bank
from edge.runtime import int4

Ticker = Callable[[int], object]


def write_query_tower(folder: Path, tower: QueryTower, spec: Tower) -> None:
    """The segment in its formats, the token table, the places, and the tokenizer without the blanks it came with."""
    (whole,) = spec.segments
    words = layout.words_of(spec)
    inputs = {"x": torch.zeros(2, *whole.input), "mask": torch.ones(2, whole.input[0])}
    export(tower.segment, {name: inputs[name] for name in ("x", *whole.extra)}, layout.targets(folder, whole.model))
    # A table may have rows that no token has: published ones are rounded up.
    rows = tower.table[: Tokenizer.from_file(str(tower.tokenizer)).get_vocab_size()]
    packed = int4.pack(rows, words.group) if words.table_format == "int4" else rows.astype("<f2")
    (folder / words.table).write_bytes(packed.tobytes())
    (folder / words.positions).write_bytes(tower.positions.astype("<f4").tobytes())
    tokenizer = json.loads(tower.tokenizer.read_text(encoding="utf-8"))
    (folder / words.tokenizer).write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), "utf-8")


def write_item_tower(folder: Path, tower: ItemTower, spec: Tower, learnt: Learnt, tick: Ticker) -> None:
    """Segments, both heads of each exit, gates, predictor and bank; `tick` counts models."""
    start = 0
    for segment in spec.segments:
        module = tower.segment(start, segment.depth)
        export(module, {"x": torch.zeros(2, *segment.input)}, layout.targets(folder, segment.model))
        start = segment.depth
        tick(1)
    for place in spec.exits:
        shape = spec.segments[place.segment].output
        export(learnt.items[place.depth], {"x": torch.zeros(2, *shape)}, layout.targets(folder, place.head))
        tick(1)
        if place.gate is not None:
            _write_gate(learnt.gates[place.depth], layout.targets(folder, place.gate))
            tick(1)
    _write_query_heads(folder, learnt, tick)
    if learnt.predictor is not None and spec.predictor is not None:
        samples = torch.from_numpy(learnt.predictor.samples)
        places = layout.targets(folder, spec.predictor.model)
        export(learnt.predictor.net, {"x": samples[:2]}, places, samples={"x": samples})
        learnt.predictor.norm.write(folder / spec.predictor.norm)
    if learnt.bank is not None:
        (folder / layout.BANK).write_bytes(pack_bank(learnt.bank))


def _write_gate(gate: nn.Module, targets: dict[Format, Path]) -> None:
    export(gate, {"x": torch.zeros(2, len(gate.get_buffer("mean")))}, targets)


def _write_query_heads(folder: Path, learnt: Learnt, tick: Ticker) -> None:
    written = set()
    for depth, entry in layout.query_heads(learnt).items():
        if entry not in written:
            written.add(entry)
            export(learnt.queries[depth], {"x": torch.zeros(2, learnt.width)}, layout.targets(folder, entry))
        tick(1)
