"""One tower, run from any segment to any other, and the heads at its exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Exit, ImagePreprocess, Model, TextPreprocess, Tower
from edge.items import Floats
from edge.runtime.interpreter import Interpreter, choose_variant, open_interpreter
from edge.runtime.preprocess import TextInput, image_inputs


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
    """Runs one tower of a bundle. Interpreters are opened on first use and kept. One thread at a time."""

    def __init__(self, folder: Path, tower: Tower, runtime: str, threads: int) -> None:
        """`folder` is the bundle's; `runtime` one of `installed_runtimes()`; `threads` those of one segment call."""
        self.spec = tower
        self._folder, self._runtime, self._threads = folder, runtime, threads
        self._interpreters: dict[Model, Interpreter] = {}
        self._text = TextInput(folder, tower.preprocess) if isinstance(tower.preprocess, TextPreprocess) else None

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
            tensor = self._open(spec.model).run({"x": tensor, **extra})
        return Activation(tensor, max(activation.segment, segment + 1), activation.extra)

    def embed(self, activation: Activation, place: Exit) -> Floats:
        """(N, D) embeddings, rows of unit L2 norm, of a batch that has just done the exit's segment."""
        if activation.segment != place.segment + 1:
            raise ValueError(f"the batch is before segment {activation.segment}, the exit lies after {place.segment}")
        return self._open(place.head).run({"x": activation.tensor})

    def _open(self, model: Model) -> Interpreter:
        if model not in self._interpreters:
            variant = choose_variant(model, self._runtime)
            path = self._folder / variant.path
            self._interpreters[model] = open_interpreter(path, self._runtime, self._threads)
        return self._interpreters[model]
