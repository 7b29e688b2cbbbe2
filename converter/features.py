"""What the query tower's files make of sentences, by the device's own code: heads learn what they will be fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge.bundle import TextPreprocess, Tower
from edge.items import Floats
from edge.runtime import Invoke, TextInput

BATCH = 16
Ticker = Callable[[int], object]


def text_features(folder: Path, tower: Tower, invoke: Invoke, sentences: Sequence[str], tick: Ticker) -> Floats:
    """(S, G) features of S sentences, before any head. `folder` holds the tower's files."""
    if not isinstance(tower.preprocess, TextPreprocess):
        raise TypeError(f"the {tower.modality} tower takes no sentences")
    (whole,) = tower.segments
    words, parts = TextInput(folder, tower.preprocess), [np.empty((0, *whole.output), dtype=np.float32)]
    for start in range(0, len(sentences), BATCH):
        batch = sentences[start : start + BATCH]
        inputs = words.inputs(batch)
        parts.append(invoke(whole.model, {name: inputs[name] for name in ("x", *whole.extra)}))
        tick(len(batch))
    return np.concatenate(parts)
