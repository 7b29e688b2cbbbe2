"""What heads are taught with, put together from the artefacts of `towers` and `heal`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from converter.heads.fitting import Study
from converter.stages import load_arrays
from converter.steps.catalogue import Captions, Catalogue, Rows


def taught_rows(catalogue: Catalogue, captions: Captions) -> Rows:
    """Items that heads learn from: all but the test side, and all where nothing can be tested for lack of captions."""
    return catalogue.rows("train", "held") if captions.any is not None else catalogue.rows("train", "held", "test")


def study_of(catalogue: Catalogue, captions: Captions, features: Mapping[int, Tensor], rows: Rows) -> Study:
    """The study of some of the items that heads may learn from, with all of their views.

    features: (N + views * T, F) by depth: all items, then views of the T items of `taught_rows`
    """
    every, taught = len(catalogue.entries), taught_rows(catalogue, captions)
    views = (len(next(iter(features.values()))) - every) // max(len(taught), 1)
    places = np.searchsorted(taught, rows)
    wanted = torch.from_numpy(np.concatenate([rows, *(every + view * len(taught) + places for view in range(views))]))
    known = captions.any
    return Study(
        features={depth: x[wanted] for depth, x in features.items()},
        items=len(rows),
        captions=known[torch.from_numpy(rows)] if known is not None else None,
        classes=captions.classes,
    )


def load_features(path: Path) -> dict[int, Tensor]:
    """Features by depth, shallow to deep. Raises ArtefactError."""
    arrays = load_arrays(path)
    return {depth: torch.from_numpy(arrays[str(depth)]) for depth in sorted(int(name) for name in arrays)}
