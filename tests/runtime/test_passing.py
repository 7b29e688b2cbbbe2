"""Weights that pass through memory: one file at a time, with the same results as those that stay."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from edge.bundle import RUNTIMES, Bundle, Model
from edge.runtime import (
    Activation,
    Interpreter,
    Interpreters,
    Passing,
    TowerRunner,
    choose_runtime,
    largest_bytes,
    tower_bytes,
)


class Counted(Interpreters):
    """The real files. Notes how many of those that it opened were alive at once, the new one among them."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.folder, choose_runtime("auto"), threads=1)
        self._alive: weakref.WeakSet[Interpreter] = weakref.WeakSet()
        self.opened: list[Model] = []
        self.most = 0

    def open(self, model: Model) -> Interpreter:
        opened = super().open(model)
        self._alive.add(opened)
        self.opened.append(model)
        self.most = max(self.most, len(self._alive))
        return opened

    @property
    def alive(self) -> int:
        return len(self._alive)


def test_tower_runs_with_one_file_in_memory_at_a_time_and_none_behind_it(bundle: Bundle, image: TowerRunner) -> None:
    files = Counted(bundle)
    passing = Passing(files)
    tower = TowerRunner(bundle.folder, image.spec, passing.invoke)
    pixels = np.random.default_rng(3).standard_normal((1, *image.spec.segments[0].input), dtype=np.float32)
    there = here = Activation(pixels, 0, {})
    for place in image.spec.exits:
        there, here = image.advance(there, place.segment), tower.advance(here, place.segment)
        np.testing.assert_array_equal(tower.embed(here, place), image.embed(there, place))
    assert (files.most, files.alive) == (1, 0)
    assert len(files.opened) == image.spec.exits[-1].segment + 1 + len(image.spec.exits)
    assert passing.invoke_s > 0 == passing.waiting_s


def test_file_that_fails_is_let_go_too(bundle: Bundle, image: TowerRunner) -> None:
    files = Counted(bundle)
    with pytest.raises(RuntimeError, match="input x has shape"):
        Passing(files).invoke(image.spec.segments[0].model, {"x": np.zeros((1, 2, 2, 3), np.float32)})
    assert files.alive == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_largest_file_of_a_tower_takes_less_than_all(bundle: Bundle, runtime: str) -> None:
    for tower in bundle.manifest.towers:
        largest = largest_bytes(bundle.manifest, runtime, tower)
        models = [segment.model for segment in tower.segments]
        biggest = max(
            min(bundle.manifest.files[str(one.path)].bytes for one in model.variants if runtime in one.runtimes)
            for model in models
        )
        assert biggest <= largest < tower_bytes(bundle.manifest, runtime, tower)
