"""The elevator batch: the exit where items leave, and that riding together changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.errors import UsageError
from edge.remember import Elevator
from edge.runtime import Activation, TowerRunner


@pytest.fixture(scope="session")
def arrived(image: TowerRunner, pictures: list[Path]) -> list[Activation]:
    return [image.start_images([path.read_bytes()]) for path in pictures[:7]]


def test_items_leave_at_the_exit_with_its_embedding(image: TowerRunner, arrived: list[Activation]) -> None:
    together = Activation(np.concatenate([item.tensor for item in arrived]), 0, {})
    for place in image.spec.exits:
        elevator = Elevator(image, place, batch=8)
        assert elevator.depth == place.depth
        expected = image.embed(image.advance(together, place.segment), place)
        np.testing.assert_array_equal(elevator.ride(arrived), expected)


def test_ride_is_the_same_in_any_batch_and_order(image: TowerRunner, arrived: list[Activation]) -> None:
    place = image.spec.exits[0]
    expected = Elevator(image, place, batch=7).ride(arrived)
    for batch in (1, 2, 3, 256):
        np.testing.assert_allclose(Elevator(image, place, batch).ride(arrived), expected, atol=1e-4)
    np.testing.assert_allclose(Elevator(image, place, 3).ride(arrived[::-1]), expected[::-1], atol=1e-4)


def test_exit_depth_of_the_config_is_where_items_leave(
    image: TowerRunner, pictures: list[Path], tmp_path: Path, fill: Callable[..., object]
) -> None:
    for place in image.spec.exits:
        config = Config(remember=RememberConfig(exit_depth=place.depth))
        with Engine(config, tmp_path / str(place.depth)) as engine:
            fill(engine, pictures[:1])
            assert [partition.depth for partition in engine.memory.partitions()] == [place.depth]


def test_exit_depth_that_does_not_exist_is_refused_with_those_that_do(image: TowerRunner, tmp_path: Path) -> None:
    exits = ", ".join(str(place.depth) for place in image.spec.exits)
    with pytest.raises(UsageError, match=rf"^remember\.exit_depth: no exit at depth 4: there are {exits}$"):
        Engine(Config(remember=RememberConfig(exit_depth=4)), tmp_path / "state")
    assert not (tmp_path / "state").exists()
