"""The items of a build and what their captions became: what the stage `towers` leaves for all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from converter.stages import load_arrays, load_record
from converter.views import views
from edge.bundle import ImagePreprocess
from edge.items import Floats

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item. fold: from 0 up to 1, fixed by its content."""

    name: str
    path: str
    role: str
    fold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All items in the order of their data set; skipped: (name, reason) of what could not be used."""

    kind: str
    entries: tuple[Entry, ...]
    skipped: tuple[tuple[str, ...], ...]
    texts_taken: int

    def rows(self, *roles: str) -> Rows:
        """Numbers of the items on these sides."""
        return np.array([number for number, entry in enumerate(self.entries) if entry.role in roles], dtype=np.int64)

    def folds(self, count: int) -> list[Rows]:
        """Numbers of the held items, by fold."""
        held = self.rows("held")
        places = np.array([int(self.entries[number].fold * count) for number in held], dtype=np.int64)
        return [held[places == fold] for fold in range(count)]


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """Features of the query tower. features: (N, K, G), an item with fewer than K captions has them over again.

    known: (N, K), false where one is there again; classes: (1000, 5, G) of the class texts or None
    """

    features: Tensor
    known: npt.NDArray[np.bool_]
    classes: Tensor | None

    @property
    def any(self) -> Tensor | None:
        """`features`, or None where no item has a caption."""
        return self.features if self.known.any() else None


def load_catalogue(folder: Path) -> Catalogue:
    """Raises ArtefactError."""
    return load_record(Catalogue, folder / "items.json")


def load_captions(folder: Path) -> Captions:
    """Raises ArtefactError."""
    arrays = load_arrays(folder / "captions.npz")
    classes = torch.from_numpy(arrays["classes"]) if len(arrays["classes"]) else None
    return Captions(torch.from_numpy(arrays["features"]), arrays["known"], classes)


def pixels(catalogue: Catalogue, rows: Rows, spec: ImagePreprocess, crops: int = 0, seed: int = 0) -> Iterator[Floats]:
    """Preprocessed items, (size, size, 3) each, then crops of them."""
    return views([Path(catalogue.entries[row].path) for row in rows], crops, spec, seed)


def spread(texts: Sequence[Sequence[str]]) -> tuple[list[list[str]], npt.NDArray[np.bool_]]:
    """Texts of each item brought to the same number by repeating, and which of them are no repeats."""
    most = max((len(own) for own in texts), default=0)
    known = np.array([[place < len(own) for place in range(most)] for own in texts], dtype=bool)
    filled = [[own[place % len(own)] if own else "" for place in range(most)] for own in texts]
    return filled, known.reshape(len(texts), most)  # -1 says nothing of an array without captions
