"""The elevator batch: each item leaves where the policy says, with what is stored of it, and disturbs nobody."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.items import Floats
from edge.policy import Exits
from edge.relevance import bank_numbers, offset
from edge.remember import Elevator, Fixed, Left
from edge.remember.policy import UNDECIDED, Stop
from edge.runtime import Activation, Invoke, TowerRunner


@dataclass
class Scripted:
    """Leaves item k at exit number `exits[k]`: said at the first exit for all, or at each exit for those that leave."""

    exits: tuple[int, ...]
    is_early: bool

    def __post_init__(self) -> None:
        self.riding = np.array(self.exits)
        self.stops: list[Stop] = []

    def known(self, count: int) -> Exits | None:
        assert count == len(self.exits)
        return None

    def decide(self, stop: Stop) -> Exits:
        self.stops.append(stop)
        assert len(stop.activation) == len(stop.here.sims) == len(self.riding)
        if self.is_early:
            return self.riding
        said = np.where(self.riding == stop.number, stop.number, UNDECIDED)
        self.riding = self.riding[self.riding != stop.number]
        return said


class Counted:
    """Runs the shipped files and notes how many items each call of a file was for."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self.calls: list[tuple[Model, int]] = []

    def __call__(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        self.calls.append((model, len(inputs["x"])))
        return self._invoke(model, inputs)

    def items(self, model: Model) -> list[int]:
        return [count for called, count in self.calls if called == model]


@pytest.fixture(scope="session")
def arrived(image: TowerRunner, pictures: list[Path]) -> list[Activation]:
    return [image.start_images([path.read_bytes()]) for path in pictures[:7]]


@pytest.fixture(scope="session")
def alone(image: TowerRunner, arrived: list[Activation]) -> list[list[tuple[Floats, Floats]]]:
    """By item and exit: the activation (1, ...) there and the embedding (D,), of a ride without company."""
    found = []
    for item in arrived:
        here, stops = item, []
        for place in image.spec.exits:
            here = image.advance(here, place.segment)
            stops.append((here.tensor, image.embed(here, place)[0]))
        found.append(stops)
    return found


def in_order(left: list[Left]) -> list[Left]:
    assert sorted(one.place for one in left) == list(range(len(left)))
    return sorted(left, key=lambda one: one.place)


EXITS = (1, 0, 3, 0, 2, 1, 3)


@pytest.mark.parametrize("is_early", [True, False], ids=["decided at the first exit", "decided at every exit"])
def test_each_item_leaves_at_its_exit_with_what_a_ride_alone_gives(
    is_early: bool,  # noqa: FBT001 - a parameter of the test
    image: TowerRunner,
    banks: Banks,
    arrived: list[Activation],
    alone: list[list[tuple[Floats, Floats]]],
) -> None:
    left = in_order(Elevator(image, Scripted(EXITS, is_early), banks).ride(arrived))
    assert [one.exit for one in left] == [image.spec.exits[number] for number in EXITS]
    for one, number, stops in zip(left, EXITS, alone, strict=True):
        activation, embedding = stops[number]
        np.testing.assert_allclose(one.embedding, embedding, atol=1e-4)
        assert one.activation.segment == one.exit.segment + 1
        assert one.activation.tensor.shape == activation.shape
        np.testing.assert_allclose(one.activation.tensor, activation, atol=2e-2)


def test_item_that_left_can_ride_on_from_its_activation_to_the_same_end(
    image: TowerRunner, banks: Banks, arrived: list[Activation], alone: list[list[tuple[Floats, Floats]]]
) -> None:
    last = image.spec.exits[-1]
    for one, stops in zip(
        in_order(Elevator(image, Scripted(EXITS, is_early=True), banks).ride(arrived)), alone, strict=True
    ):
        fine = image.embed(image.advance(one.activation, last.segment), last)[0]
        assert float(fine @ stops[-1][1]) > 0.9999


def test_offset_is_that_of_the_bank_at_the_exit_where_the_item_left(
    image: TowerRunner, banks: Banks, arrived: list[Activation]
) -> None:
    for one in Elevator(image, Scripted(EXITS, is_early=False), banks).ride(arrived):
        map_ = one.exit.calibration
        assert map_ is not None
        profile = banks.profile(one.embedding[None], one.exit)
        assert one.offset == pytest.approx(float(offset(bank_numbers(profile.sims, map_.scale), map_)[0]), abs=1e-4)


def test_batch_shrinks_and_heads_run_only_for_whom_they_are_needed(
    bundle: Bundle, image: TowerRunner, banks: Banks, arrived: list[Activation], invoke: Invoke
) -> None:
    counted = Counted(invoke)
    tower = TowerRunner(bundle.folder, image.spec, counted)
    Elevator(tower, Scripted(EXITS, is_early=True), banks).ride(arrived)
    assert [counted.items(segment.model) for segment in image.spec.segments] == [[4, 3], [7], [7], [5], [3], [2]]
    assert [counted.items(place.head) for place in image.spec.exits] == [[7], [2], [1], [2]]


def test_large_batch_goes_through_the_first_segment_in_parts_and_comes_out_the_same(
    image: TowerRunner, banks: Banks, arrived: list[Activation], alone: list[list[tuple[Floats, Floats]]]
) -> None:
    left = in_order(Elevator(image, Fixed(0), banks).ride([*arrived, *arrived, *arrived]))
    for one, stops in zip(left, 3 * alone, strict=True):
        np.testing.assert_allclose(one.embedding, stops[0][1], atol=1e-4)


def test_nobody_holds_pixels_once_they_are_through_the_first_segment(
    bundle: Bundle, image: TowerRunner, banks: Banks, arrived: list[Activation], invoke: Invoke
) -> None:
    items = [Activation(item.tensor.copy(), 0, {}) for item in arrived]
    alive = [weakref.ref(item.tensor) for item in items]
    held: list[int] = []

    def looking(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        held.append(sum(pixels() is not None for pixels in alive))
        return invoke(model, inputs)

    tower = TowerRunner(bundle.folder, image.spec, looking)
    Elevator(tower, Fixed(0), banks).ride(items.pop(0) for _ in alive)
    assert held == [7, 3, *[0] * (len(held) - 2)]  # four go through it, then three


def test_one_exit_for_all_runs_no_head_but_its_own(
    bundle: Bundle, image: TowerRunner, banks: Banks, arrived: list[Activation], invoke: Invoke
) -> None:
    counted = Counted(invoke)
    left = Elevator(TowerRunner(bundle.folder, image.spec, counted), Fixed(1), banks).ride(arrived)
    assert [one.place for one in left] == list(range(7))
    assert [counted.items(segment.model) for segment in image.spec.segments] == [[4, 3], [7], [7], [7], [], []]
    assert [counted.items(place.head) for place in image.spec.exits] == [[], [7], [], []]


def test_policy_sees_the_exit_before_of_those_alone_who_still_ride(
    image: TowerRunner, banks: Banks, arrived: list[Activation]
) -> None:
    policy = Scripted(EXITS, is_early=False)
    Elevator(image, policy, banks).ride(arrived)
    assert [stop.number for stop in policy.stops] == [0, 1, 2, 3]
    assert policy.stops[0].before is None
    riding = [[1, 1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 1, 0, 1]]
    first = policy.stops[0].here
    np.testing.assert_array_equal(policy.stops[1].before.sims, first.sims[np.array(riding[1], bool)])  # type: ignore[union-attr]
    second = policy.stops[1].here
    kept = np.array([bool(riding[2][item]) for item in range(7) if riding[1][item]])
    np.testing.assert_array_equal(policy.stops[2].before.numbers, second.numbers[kept])  # type: ignore[union-attr]


def test_ride_is_the_same_in_any_company_and_order(
    image: TowerRunner, banks: Banks, arrived: list[Activation], alone: list[list[tuple[Floats, Floats]]]
) -> None:
    elevator = Elevator(image, Fixed(0), banks)
    expected = [stops[0][1] for stops in alone]
    for company in ([0], [3, 1], [6, 5, 4, 3, 2, 1, 0]):
        left = elevator.ride([arrived[number] for number in company])
        np.testing.assert_allclose([one.embedding for one in left], [expected[number] for number in company], atol=1e-4)


def test_exit_depth_of_the_config_is_where_items_leave(
    image: TowerRunner, pictures: list[Path], tmp_path: Path, fill: Callable[..., object]
) -> None:
    for place in image.spec.exits:
        config = Config(remember=RememberConfig(exit_depth=place.depth))
        with Engine(config, tmp_path / str(place.depth)) as engine:
            fill(engine, pictures[:1])
            assert [partition.depth for partition in engine.memory.partitions()] == [place.depth]
