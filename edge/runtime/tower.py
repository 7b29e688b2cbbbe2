"""One tower, run from any segment to any other, and the heads at its exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Exit, ImagePreprocess, TextPreprocess, Tower
from edge.items import Floats
from edge.runtime.preprocess import TextInput, image_inputs
from edge.runtime.weights import Invoke


@dataclass(frozen=True, slots=True)
class Activation:
    """A batch on its way up a tower.

    tensor:  (N, *shape) float32, the input of segment `segment`
    segment: the next segment to run; len(segments) at the end
    extra:   what else preprocessing made, by name, handed to each segment that asks for it
    """

    tensor: Floats
    segment: int
    extra: Mapping[str, Floats]


class TowerRunner:
    """Runs one tower of a bundle. Holds no state of its own: as many threads at a time as `invoke` may be called by."""

    def __init__(self, folder: Path, tower: Tower, invoke: Invoke) -> None:
        """`folder` is the bundle's; `invoke` runs a file: `Interpreters.invoke`, `Compute.urgent` or `.background`."""
        self.spec = tower
        self._invoke = invoke
        self._text = TextInput(folder, tower.preprocess) if isinstance(tower.preprocess, TextPreprocess) else None

    @property
    def picture_side(self) -> int:
        """Pixels of the square that pictures become. Raises TypeError for a tower that takes none."""
        if not isinstance(self.spec.preprocess, ImagePreprocess):
            raise TypeError(f"the {self.spec.modality} tower takes no pictures")
        return self.spec.preprocess.size

    def start_images(self, contents: Sequence[bytes]) -> Activation:
        """N picture files before the first segment. Raises UnreadableItemError."""
        if not isinstance(self.spec.preprocess, ImagePreprocess):
            raise TypeError(f"the {self.spec.modality} tower takes no pictures")
        inputs = image_inputs(contents, self.spec.preprocess)
        return Activation(inputs.pop("x"), 0, inputs)

    def start_texts(self, sentences: Sequence[str]) -> Activation:
        """N sentences before the first segment."""
        if self._text is None:
            raise TypeError(f"the {self.spec.modality} tower takes no sentences")
        inputs = self._text.inputs(sentences)
        return Activation(inputs.pop("x"), 0, inputs)

    def advance(self, activation: Activation, segment: int) -> Activation:
        """Run the segments up to and with number `segment`; none if the activation is there already."""
        tensor = activation.tensor
        for number in range(activation.segment, segment + 1):
            spec = self.spec.segments[number]
            extra = {name: activation.extra[name] for name in spec.extra}
            tensor = self._invoke(spec.model, {"x": tensor, **extra})
        return Activation(tensor, max(activation.segment, segment + 1), activation.extra)

    def embed(self, activation: Activation, place: Exit) -> Floats:
        """(N, D) embeddings, rows of unit L2 norm, of a batch that has just done the exit's segment."""
        if activation.segment != place.segment + 1:
            raise ValueError(f"the batch is before segment {activation.segment}, the exit lies after {place.segment}")
        return self._invoke(place.head, {"x": activation.tensor})
