"""Weights that are streamed: how many interpreters exist, what they compute, and what if one cannot be opened."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.runtime import Activation, Compute, Interpreter, Interpreters, Pace, Streamed, TowerRunner, choose_runtime
from waiting import wait_until


class Counted(Interpreters):
    """The real files. Knows which interpreters of segments live, and the most at a time."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.folder, choose_runtime("auto"), threads=1)
        self.segments = [segment.model for segment in bundle.manifest.tower("image").segments]
        self.live: weakref.WeakKeyDictionary[Interpreter, int] = weakref.WeakKeyDictionary()
        self.most = 0
        self.openings: list[int] = []
        self.threads: set[str] = set()
        self.failing: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def open(self, model: Model) -> Interpreter:
        if model not in self.segments:
            return super().open(model)
        number = self.segments.index(model)
        self.openings.append(number)
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(10)
        if self.failing is not None:
            raise self.failing
        interpreter = super().open(model)
        self.live[interpreter] = number
        self.most = max(self.most, len(self.live))
        return interpreter

    @property
    def now(self) -> set[int]:
        return set(self.live.values())


@pytest.fixture
def files(bundle: Bundle) -> Counted:
    return Counted(bundle)


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def streamed(bundle: Bundle, files: Counted, failures: list[BaseException]) -> Iterator[Streamed]:
    with Streamed(files, bundle.manifest.tower("image"), failures.append) as streamed:
        yield streamed
        files.go_on.set()
    assert failures == []


@pytest.fixture
def tower(bundle: Bundle, streamed: Streamed) -> TowerRunner:
    return TowerRunner(bundle.folder, bundle.manifest.tower("image"), streamed.invoke)


@pytest.fixture
def start(image: TowerRunner, pictures: list[Path]) -> Activation:
    """Three pictures before the first segment."""
    return image.start_images([path.read_bytes() for path in pictures[:3]])


def ride(tower: TowerRunner, start: Activation, exits: int) -> list[Floats]:
    """The embeddings at the first exits, on one way up."""
    found, activation = [], start
    for place in tower.spec.exits[:exits]:
        activation = tower.advance(activation, place.segment)
        found.append(tower.embed(activation, place))
    return found


def zeros(tower: TowerRunner, number: int) -> dict[str, Floats]:
    return {"x": np.zeros((1, *tower.spec.segments[number].input), np.float32)}


def run(tower: TowerRunner, streamed: Streamed, number: int) -> Floats:
    return streamed.invoke(tower.spec.segments[number].model, zeros(tower, number))


def test_streamed_tower_gives_what_a_resident_one_gives(
    bundle: Bundle, tower: TowerRunner, start: Activation, files: Counted
) -> None:
    invoke = Interpreters(bundle.folder, choose_runtime("auto"), threads=1).invoke
    resident = TowerRunner(bundle.folder, tower.spec, invoke)
    for _ in range(2):
        for one, other in zip(ride(tower, start, 4), ride(resident, start, 4), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(files.openings) >= 2 * len(tower.spec.segments)


@pytest.mark.parametrize("exits", [1, 2, 4])
def test_never_more_than_two_interpreters_of_the_tower_exist(
    exits: int, tower: TowerRunner, start: Activation, files: Counted
) -> None:
    for _ in range(4):
        ride(tower, start, exits)
    wait_until(lambda: len(files.now) == 2)
    assert files.most == 2


def test_any_order_of_calls_keeps_to_two(tower: TowerRunner, streamed: Streamed, files: Counted) -> None:
    order = np.random.default_rng(0).integers(0, len(tower.spec.segments), 60)
    for number in order.tolist():
        assert run(tower, streamed, number).shape == (1, *tower.spec.segments[number].output)
        assert number in files.now
    assert files.most == 2


def test_only_the_loader_opens_segments(tower: TowerRunner, start: Activation, files: Counted) -> None:
    ride(tower, start, 4)
    assert files.threads == {"loader"}


def test_next_segment_is_opened_while_this_one_runs_and_the_last_one_closed(
    tower: TowerRunner, streamed: Streamed, files: Counted
) -> None:
    last = len(tower.spec.segments) - 1
    for number in range(last):
        run(tower, streamed, number)
        wait_until(lambda number=number: files.now == {number, number + 1})  # type: ignore[misc]
    run(tower, streamed, last)
    wait_until(lambda: files.now == {last, 0})  # for the next ride
    assert files.openings == [*range(last + 1), 0]


def test_ride_that_ends_at_an_early_exit_has_the_first_segment_ready_for_the_next(
    tower: TowerRunner, streamed: Streamed, files: Counted
) -> None:
    for _ in range(2):
        for number in range(3):
            run(tower, streamed, number)
    wait_until(lambda: files.now == {2, 0})
    before = len(files.openings)
    run(tower, streamed, 0)
    wait_until(lambda: files.now == {0, 1})
    assert files.openings[before:] == [1]


def test_parts_of_one_batch_open_nothing_anew(tower: TowerRunner, streamed: Streamed, files: Counted) -> None:
    for _ in range(10):
        run(tower, streamed, 1)
    wait_until(lambda: files.now == {1, 2})
    assert sorted(files.openings) == [1, 2]


def test_what_is_opened_is_ready_for_the_batch_that_came_last(
    tower: TowerRunner, files: Counted, start: Activation
) -> None:
    ride(tower, start, 4)
    ride(tower, start, 4)
    wait_until(lambda: 0 in files.now)
    (first,) = (interpreter for interpreter, number in files.live.items() if number == 0)
    assert first._shapes["x"][0] == 3  # type: ignore[attr-defined]


def test_heads_and_the_other_tower_stay(bundle: Bundle, streamed: Streamed, files: Counted) -> None:
    text = TowerRunner(bundle.folder, bundle.manifest.tower("text"), streamed.invoke)
    place = text.spec.exits[-1]
    one, other = (text.embed(text.advance(text.start_texts(["a dog"]), 0), place) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert files.openings == []
    assert len(files._opened) == 2


def test_time_that_a_call_waits_for_its_segment_is_told(tower: TowerRunner, streamed: Streamed, files: Counted) -> None:
    files.go_on.clear()
    with ThreadPoolExecutor(1) as caller:
        call = caller.submit(run, tower, streamed, 0)
        wait_until(lambda: files.openings == [0])
        threading.Event().wait(0.2)
        files.go_on.set()
        call.result(10)
    assert 0.2 <= streamed.waiting_s < 5
    assert 0 < streamed.invoke_s < 5


def test_segment_that_cannot_be_opened_is_the_callers_error_and_is_tried_again(
    tower: TowerRunner, streamed: Streamed, files: Counted
) -> None:
    files.failing = RuntimeError("no memory")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no memory"):
            run(tower, streamed, 0)
    files.failing = None
    assert len(run(tower, streamed, 0)) == 1


def test_segment_that_could_not_be_read_ahead_is_no_error_unless_it_is_asked_for(
    tower: TowerRunner, streamed: Streamed, files: Counted
) -> None:
    run(tower, streamed, 0)
    wait_until(lambda: files.now == {0, 1})
    files.failing = RuntimeError("no memory")
    run(tower, streamed, 1)
    wait_until(lambda: files.openings == [0, 1, 2])
    files.failing = None
    assert len(run(tower, streamed, 1)) == 1
    assert len(run(tower, streamed, 4)) == 1


def test_leaving_ends_the_loader_and_closes_all(bundle: Bundle, files: Counted, failures: list[BaseException]) -> None:
    spec = bundle.manifest.tower("image")
    with Streamed(files, spec, failures.append) as streamed:
        streamed.invoke(spec.segments[0].model, {"x": np.zeros((1, *spec.segments[0].input), np.float32)})
        assert "loader" in {thread.name for thread in threading.enumerate()}
    assert "loader" not in {thread.name for thread in threading.enumerate()}
    assert files.now == set()
    with pytest.raises(RuntimeError, match="the loader thread has ended"):
        streamed.invoke(spec.segments[3].model, {"x": np.zeros((1, *spec.segments[3].input), np.float32)})


def test_question_in_the_middle_of_a_ride_changes_no_result(
    bundle: Bundle,
    streamed: Streamed,
    files: Counted,
    failures: list[BaseException],
    start: Activation,
    image: TowerRunner,
) -> None:
    with Compute(streamed, Pace({}), lambda: None, 60.0, failures.append) as compute, ThreadPoolExecutor(1) as asker:
        riding = TowerRunner(bundle.folder, image.spec, compute.background)
        asking = TowerRunner(bundle.folder, image.spec, compute.urgent)
        alone = ride(riding, start, 4)
        for _ in range(5):
            asked = asker.submit(ride, asking, start, 4)
            for one, other, third in zip(ride(riding, start, 4), asked.result(20), alone, strict=True):
                np.testing.assert_allclose(one, third, atol=1e-5)
                np.testing.assert_allclose(other, third, atol=1e-5)
    assert files.most == 2
